"""Requirements of a release: a sibling is needed in the version that it was released with."""

from hatchling.metadata.plugin.interface import MetadataHookInterface

SIBLINGS = {"urt-core", "urt-data", "urt-kernels"}


class ReleaseRequirements(MetadataHookInterface):
    """Reads `[tool.hatch.metadata.hooks.custom] dependencies` of the package's pyproject.toml."""

    def update(self, metadata: dict) -> None:
        metadata["dependencies"] = [
            f"{requirement}=={metadata['version']}" if requirement.partition("[")[0] in SIBLINGS else requirement
            for requirement in self.config["dependencies"]
        ]
