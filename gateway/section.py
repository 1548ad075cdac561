"""The base of every section of the config: unknown keys are errors, values don't change."""

from pydantic import BaseModel, ConfigDict


class Section(BaseModel):
    """One mapping in `fieldgate.yaml`."""

    model_config = ConfigDict(extra="forbid", frozen=True)
