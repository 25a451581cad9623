# The reward server: docker build -f docker/server.Dockerfile -t urt-server .
# docker run --gpus all -p 8090:8090 -e URT_TOKEN=... -v "$PWD/outputs:/models:ro" urt-server --model tiny/grpo/model
# For a CPU build of torch: --build-arg PIP_EXTRA_INDEX_URL=<index of PyTorch's CPU wheels>
FROM python:3.12-slim

ARG PIP_EXTRA_INDEX_URL=""
# In front of an endpoint (docker/compose.yaml) `serve` is enough.
ARG EXTRAS=transformers,serve,video
ENV PYTHONUNBUFFERED=1 PIP_NO_CACHE_DIR=1 HOME=/tmp

COPY packages/urt-core /src/urt-core
RUN pip install "/src/urt-core[$EXTRAS]" && rm -r /src

# Models are mounted, and the process needs to write nowhere.
USER nobody
WORKDIR /models

EXPOSE 8090
HEALTHCHECK --interval=30s --start-period=300s \
    CMD ["python", "-c", "from urllib.request import urlopen; urlopen('http://127.0.0.1:8090/health')"]
# Another address than 127.0.0.1 needs a token in URT_TOKEN: without it the server says so and ends.
ENTRYPOINT ["urt", "serve", "--host", "0.0.0.0", "--port", "8090"]
