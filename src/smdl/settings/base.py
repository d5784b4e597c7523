"""What all sections are made of: numbers that are numbers, text that is one line, lists without repeats."""

import math
from collections.abc import Callable, Iterator, Mapping
from typing import Annotated, Any, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    Strict,
    WrapValidator,
    create_model,
)
from pydantic_core import CoreSchema, PydanticCustomError, PydanticKnownError, core_schema

LONGEST_NAME = 100
# Larger whole numbers are not exact in JSON and in the tables.
LARGEST_INTEGER = 2**53
# float32 ends at 3e38; a product of settings should be a number too.
LARGEST_NUMBER = 1e30


class Section(BaseModel):
    """A part of the config: frozen, and without room for keys that it does not know.

    Sections are built for validation once, with the study that holds them.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True, allow_inf_nan=False)


class Config(Section):
    """A whole config: that of a study, or of an experiment."""

    def conflicts(self) -> Iterator[str]:
        """Problems that no single key shows, one line each."""
        yield from ()


Kind = TypeVar("Kind", bound=Section)


def section() -> Any:
    """The default of a key that holds a section: the section with its own defaults."""
    return Field(default_factory=dict, validate_default=True)


def picked(kind: type[Kind], settings: Mapping[str, Any]) -> Kind:
    """The section ``kind`` from those of the ``settings`` that it knows; ValueError where one of them is none."""
    return kind.model_validate({name: value for name, value in settings.items() if name in kind.model_fields})


def with_defaults(base: type[Section], name: str, **defaults: Any) -> type[Section]:
    """The section ``base`` under another ``name``, with other defaults."""
    fields = {}
    for key, value in defaults.items():
        field = base.model_fields[key]
        kind = Annotated[(field.annotation, *field.metadata)] if field.metadata else field.annotation
        fields[key] = (kind, Field(value, description=field.description))
    return create_model(name, __base__=base, __module__=base.__module__, __doc__=base.__doc__, **fields)


def _number(value: Any, within: Callable[[Any], Any]) -> float:
    """Text such as 1e-4, which YAML does not read as a number, is converted; an integer stays one.

    Settings are parameters of rules as JSON, where 4 and 4.0 differ: a changed kind would run everything again.
    """
    if isinstance(value, str):
        value = _from_text(value, "float_type")
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise PydanticKnownError("float_type")
    if isinstance(value, int | float) and LARGEST_NUMBER < value < math.inf:
        raise PydanticKnownError("less_than_equal", {"le": LARGEST_NUMBER})
    within(value)
    return value


def _integer(value: Any, within: Callable[[Any], Any]) -> int:
    """As ``_number``; 4.0 becomes 4."""
    if isinstance(value, str):
        value = _from_text(value, "int_type")
    if isinstance(value, float) and not math.isfinite(value):
        raise PydanticKnownError("finite_number")
    if isinstance(value, bool) or not isinstance(value, int | float) or value != int(value):
        raise PydanticKnownError("int_type")
    if value > LARGEST_INTEGER:
        raise PydanticKnownError("less_than_equal", {"le": LARGEST_INTEGER})
    return within(int(value))


def _from_text(value: str, otherwise: Any) -> float:
    try:
        return float(value)
    except ValueError:
        raise PydanticKnownError(otherwise) from None


AS_NUMBER, AS_INTEGER = WrapValidator(_number), WrapValidator(_integer)
Number = Annotated[float, AS_NUMBER]
Integer = Annotated[int, AS_INTEGER]
# Limits of a key that has its type alone stand in its Field; those of entries of lists and of keys that may be left out
# stand in their type, before the conversion.
Positive = Annotated[float, Field(gt=0), AS_NUMBER]
NotNegative = Annotated[float, Field(ge=0), AS_NUMBER]
Count = Annotated[int, Field(ge=0), AS_INTEGER]
FromOne = Annotated[int, Field(ge=1), AS_INTEGER]

Flag = Annotated[bool, Strict()]


def _distinct(values: tuple[Any, ...]) -> tuple[Any, ...]:
    if len(set(values)) < len(values):
        raise PydanticCustomError("distinct", "an entry stands twice")
    return values


class _Distinct:
    """Marks a list whose entries differ, for the check and for the JSON Schema."""

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_after_validator_function(_distinct, handler(source))

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return {**handler(schema), "uniqueItems": True}


Distinct = _Distinct()


def _one_line(value: str) -> str:
    strange = next((character for character in value if not character.isprintable()), None)
    if strange is not None:
        what = "holds {code}, which is no printable character"
        raise PydanticCustomError("text", what, {"code": ascii(strange)})
    return value


def _not_blank(value: str) -> str:
    if value.isspace():
        raise PydanticCustomError("text", "is blank")
    return value


def _branch(value: str) -> str:
    if any(character.isspace() for character in value) or ".." in value or value[0] in "/-" or value[-1] in "/.":
        raise PydanticCustomError("text", "is no name of a branch, tag or commit")
    return value


def _no_braces(value: str) -> str:
    if "{" in value or "}" in value:
        raise PydanticCustomError("text", "holds braces, which mean something else to Snakemake")
    return value


def _braces_of_step(value: str) -> str:
    rest = value.replace("{step}", "")
    if "{" in rest or "}" in rest:
        what = "holds braces other than {place}, which stands for the step"
        raise PydanticCustomError("text", what, {"place": "{step}"})
    return value


def _name(value: str) -> str:
    if not value.strip() or value != value.strip() or len(value) > LONGEST_NAME or set(value) & set("/\\{}"):
        what = "is no name: 1 to {longest} characters, none of them a slash or a brace, no space at either end"
        raise PydanticCustomError("text", what, {"longest": LONGEST_NAME})
    return value


Text = Annotated[
    str, Strict(), Field(min_length=1, max_length=1000), AfterValidator(_one_line), AfterValidator(_not_blank)
]
Branch = Annotated[Text, AfterValidator(_branch)]
Folder = Annotated[Text, AfterValidator(_no_braces)]
# Where a checkpoint is, with or without the place of its step.
StepPattern = Annotated[Text, AfterValidator(_braces_of_step)]
StepBranch = Annotated[StepPattern, AfterValidator(_branch)]
# A name of the user's choice that stands in tables and figures, not in paths.
Name = Annotated[str, Strict(), AfterValidator(_one_line), AfterValidator(_name)]
# owner/name on a hub.
REPOSITORY = r"^[A-Za-z0-9_][A-Za-z0-9_.-]*/[A-Za-z0-9_][A-Za-z0-9_.-]*$"
Repository = Annotated[str, Strict(), Field(max_length=200, pattern=REPOSITORY)]
