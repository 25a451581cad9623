# Training on NVIDIA GPUs: docker build -f docker/train.Dockerfile -t urt-train .
# docker run --gpus all --ipc host -v "$PWD:/work" urt-train recipe=qwen3_vl_2b_lora_24gb stage=cold_start data.train=pairs
# Several GPUs: --entrypoint torchrun ... --nproc-per-node 8 --module urt_train recipe=... stage=...
FROM python:3.12-slim

# torch's wheels bring the CUDA libraries; Triton compiles its launchers with the C compiler of the system.
RUN apt-get update && apt-get install -y --no-install-recommends gcc libc6-dev git && rm -rf /var/lib/apt/lists/*

ARG PIP_EXTRA_INDEX_URL=""
ENV PYTHONUNBUFFERED=1 PIP_NO_CACHE_DIR=1

COPY packages /src
RUN pip install "/src/urt-core[transformers,video]" "/src/urt-data[remote,parquet,workers]" \
    "/src/urt-kernels[triton]" "/src/urt-train[lora]" && rm -r /src

# Runs are written below the working directory: outputs/<recipe>/<stage>.
WORKDIR /work
ENTRYPOINT ["urt-train"]
