"""The family `peft`: every config that the installed PEFT registers keeps the method contract, or is refused."""

import dataclasses
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import peft
import pytest
from peft.mapping import PEFT_TYPE_TO_CONFIG_MAPPING
from test_method_contract import NEEDED

from bench.errors import UsageError
from bench.grid.cell import code_version
from bench.plugins import registry
from bench.plugins.method import Method
from bench.plugins.specs import build_method, changed_params, describe_params, parse

REGISTERED = sorted(each.value.lower() for each in PEFT_TYPE_TO_CONFIG_MAPPING)
REFUSED = {
    "adalora", "adaption_prompt", "cartridge", "cpt", "multitask_prompt_tuning", "poly", "shadow", "xlora"
}  # fmt: skip


def build(spec: str) -> Method:
    return build_method(registry.methods(), parse(spec))


def test_every_config_of_peft_is_a_member_or_refused() -> None:
    family = registry.methods().families["peft"].plugin()
    assert set(family.members()) | set(family.refused()) == set(REGISTERED)
    assert set(family.refused()) == REFUSED
    with pytest.raises(UsageError, match=r"^peft:adalora is not offered: .*calls from the training loop"):
        registry.methods().get("peft:adalora")


# Params


def test_parameters_are_the_simple_fields_of_pefts_config_with_its_defaults() -> None:
    params = type(build("peft:lora").params)
    fields = {field.name: field for field in dataclasses.fields(peft.LoraConfig)}
    assert {"r", "lora_alpha", "lora_dropout", "use_dora", "use_rslora", "bias", "target_modules"} <= set(
        params.model_fields
    )
    for name, info in params.model_fields.items():
        default = fields[name].default
        assert info.default == (default if default is not dataclasses.MISSING else fields[name].default_factory())
    hidden = {"task_type", "peft_type", "inference_mode", "base_model_name_or_path", "modules_to_save", "loftq_config"}
    assert not hidden & set(params.model_fields)


@pytest.mark.parametrize("member", sorted(set(REGISTERED) - REFUSED))
def test_what_a_config_is_given_is_what_it_has(member: str) -> None:
    """Every parameter reaches PEFT's config, and comes back from the JSON of a cell as it was."""
    method = build(f"peft:{member}[{NEEDED.get(member, '')}]")
    config = method.params.config()
    assert config.peft_type == member.upper()
    for name, value in method.params:
        got = getattr(config, name)
        assert (set(got) if isinstance(value, tuple) else got) == (set(value) if isinstance(value, tuple) else value)
    cells = json.loads(json.dumps(method.params.model_dump(mode="json")))
    assert type(method)(type(method).Params(**cells)).params == method.params
    assert all(len(text) < 120 for text in describe_params(type(method)).values())


@pytest.mark.parametrize(
    ("spec", "params", "variant"),
    [
        ("peft:lora[use_dora=true]", {"use_dora": True, "r": 8}, "use_dora=true"),
        ("peft:vera[r=64,d_initial=0.5]", {"r": 64, "d_initial": 0.5}, "r=64,d_initial=0.5"),
        ("peft:lora[target_modules=query+key]", {"target_modules": ("query", "key")}, "target_modules=query+key"),
        ("peft:lora[layers_to_transform=0+2]", {"layers_to_transform": (0, 2)}, "layers_to_transform=0+2"),
        ("peft:lora[init_lora_weights=false]", {"init_lora_weights": False}, "init_lora_weights=false"),
        ("peft:osf[effective_rank=0.5]", {"effective_rank": 0.5}, "effective_rank=0.5"),
        ("peft:prompt_tuning", {"num_virtual_tokens": 20}, ""),
    ],
)
def test_parameters_are_typed_and_variants_can_be_pasted_back(spec: str, params: dict[str, Any], variant: str) -> None:
    method = build(spec)
    assert method.params.model_dump().items() >= params.items()
    assert {name: type(getattr(method.params, name)) for name in params} == {n: type(v) for n, v in params.items()}
    assert changed_params(method.params) == variant
    assert build(f"{method.name}[{variant}]").params == method.params


@pytest.mark.parametrize(
    ("spec", "reason"),
    [
        ("peft:vera[rr=4]", "peft:vera: there is no parameter 'rr', did you mean 'r'? Allowed: r: int = 256, "),
        ("peft:lora[r=four]", "peft:lora: r='four' is not allowed: input should be a valid integer"),
        ("peft:lora[init_lora_weights=pissa]", "init_lora_weights='pissa' is not allowed"),  # rewrites frozen weights
        ("peft:lora[layers_to_transform=0+b]", "layers_to_transform='b' is not allowed: it should be int+int+..."),
        ("peft:oft[r=2,oft_block_size=4]", "peft:oft: You can only specify either r"),
        ("peft:trainable_tokens", "peft:trainable_tokens: PEFT has no default for token_indices; give some: token_ind"),
        ("peft:lorra", "There is no method 'peft:lorra'; did you mean 'peft:lora'? There are: peft:adamss, "),
        ("peft", "'peft' is a family of methods; name one of them: peft:adamss, "),
        ("vera", "There is no method 'vera'; did you mean 'peft:vera'? There are: adapters, "),
    ],
)
def test_wrong_names_and_values_are_the_users_to_mend(spec: str, reason: str) -> None:
    with pytest.raises(UsageError, match=re.escape(reason)) as caught:
        build(spec)
    assert "\n" not in str(caught.value)


# Where it is found and what it costs


def test_listing_its_members_imports_nothing_heavy() -> None:
    code = (
        "import sys; from bench.grid import catalogue;"
        "(family,) = [e for e in catalogue.entries('methods') if e['name'] == 'peft:NAME'];"
        "print(len(family['members']), len(family['refused']), catalogue.brief('methods', family)['params'][:12],"
        "sorted({'torch', 'transformers', 'peft'} & set(sys.modules)))"
    )
    root = Path(registry.__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=root)
    assert done.stdout == f"{len(REGISTERED) - len(REFUSED)} {len(REFUSED)} NAME: adamss []\n"


def test_a_members_code_is_that_of_the_family_and_its_helpers(tmp_path: Path) -> None:
    found = registry.methods().get("peft:ia3")
    assert found.file.name == "peft_configs.py"
    assert found.plugin is registry.methods().get("peft:ia3").plugin
    versions = []
    for changed in (None, "peft_configs.py", "_peft.py"):
        folder = tmp_path / str(changed)
        folder.mkdir()
        for file in found.file.parent.glob("*.py"):
            more = "\nCHANGED = 1\n" if file.name == changed else ""
            (folder / file.name).write_text(file.read_text() + more)
        versions.append(code_version([folder / "peft_configs.py"]))
    assert versions[0] == code_version([found.file])
    assert len(set(versions)) == 3
