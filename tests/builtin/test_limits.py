"""LimitRanges, ResourceQuotas, Leases, and the amounts in them."""

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kcp.builtin.rules.resource_lists import amount, canonical
from tests.builtin.conftest import Types


def limits(**item: Any) -> dict[str, Any]:
    return {"spec": {"limits": [{"type": "Container", **item}]}}


@pytest.mark.parametrize(
    ("written", "kept"),
    [
        ("1500m", "1500m"),
        ("0.5", "500m"),
        ("1000m", "1"),
        ("1024Mi", "1Gi"),
        ("1.5Gi", "1536Mi"),
        ("1e3", "1e3"),
        ("2000", "2k"),
        (2000, "2k"),
        (1.5, "1500m"),
        ("0.0000000001", "1m"),
        ("1.23456789123", "1235m"),
        ("-1.2341", "-1235m"),
        ("1001u", "2m"),
        ("0.0001Ki", "103m"),
        ("1e-6", "1e-3"),
        ("0.1Ki", "102400m"),
        ("-5", "-5"),
        ("0", "0"),
    ],
)
def test_quantities_are_stored_in_canonical_form(written: Any, kept: str) -> None:
    amounts = {"cpu": written}
    canonical(amounts)
    assert amounts == {"cpu": kept}


@settings(max_examples=100)
@given(st.integers(-(10**15), 10**15), st.sampled_from(["", "m", "k", "M", "Ki", "Mi", "e2", "E-1"]))
def test_the_canonical_form_keeps_the_value_and_is_stable(number: int, suffix: str) -> None:
    amounts: dict[str, Any] = {"x": f"{number}{suffix}"}
    before = amount(amounts["x"])
    canonical(amounts)
    assert amount(amounts["x"]) == before
    again = dict(amounts)
    canonical(again)
    assert again == amounts


def test_quantities_may_be_numbers(types: Types) -> None:
    quota = types.create(types("resourcequotas"), {"spec": {"hard": {"cpu": 0.5, "memory": 1024}}})
    assert quota["spec"]["hard"] == {"cpu": "500m", "memory": "1024"}


def test_invalid_quantities_are_refused(types: Types) -> None:
    (error,) = types.errors(types("resourcequotas"), {"spec": {"hard": {"cpu": "many"}}})
    assert error.startswith('spec.hard[cpu]: Invalid value: "many": quantities must match the regular expression')
    with pytest.raises(ValueError, match="regular expression"):
        amount("1.2.3")
    assert amount("1e3") == Decimal(1000)


class TestLimitRanges:
    def test_a_container_defaults_to_its_bounds(self, types: Types) -> None:
        created = types.create(types("limitranges"), limits(max={"cpu": "2"}, min={"cpu": "1", "memory": "1Gi"}))
        (item,) = created["spec"]["limits"]
        assert item["default"] == {"cpu": "2"}
        assert item["defaultRequest"] == {"cpu": "2", "memory": "1Gi"}

    @pytest.mark.parametrize(
        ("item", "error"),
        [
            (
                {"min": {"cpu": "2"}, "max": {"cpu": "1"}},
                'spec.limits[0].min[cpu]: Invalid value: "2": min value 2 is greater than max value 1',
            ),
            (
                {"default": {"cpu": "2"}, "max": {"cpu": "1"}},
                'spec.limits[0].default[cpu]: Invalid value: "1": default value 2 is greater than max value 1',
            ),
            (
                {"maxLimitRequestRatio": {"cpu": "500m"}},
                'spec.limits[0].maxLimitRequestRatio[cpu]: Invalid value: "500m": ratio 500m is less than 1',
            ),
            (
                {"max": {"apples": "1"}},
                'spec.limits[0].max[apples]: Invalid value: "apples": must be a standard resource for containers',
            ),
        ],
    )
    def test_contradicting_bounds_are_refused(self, types: Types, item: dict[str, Any], error: str) -> None:
        assert error in types.errors(types("limitranges"), limits(**item))

    def test_each_kind_is_limited_once(self, types: Types) -> None:
        item = {"type": "Pod", "max": {"cpu": "1"}}
        found = types.errors(types("limitranges"), {"spec": {"limits": [dict(item), dict(item)]}})
        assert found == ['spec.limits[1].type: Duplicate value: "Pod"']

    def test_pods_have_no_defaults(self, types: Types) -> None:
        found = types.errors(types("limitranges"), {"spec": {"limits": [{"type": "Pod", "default": {"cpu": "1"}}]}})
        assert found == ["spec.limits[0].default: Forbidden: may not be specified when `type` is 'Pod'"]

    def test_claims_need_a_bound(self, types: Types) -> None:
        found = types.errors(types("limitranges"), {"spec": {"limits": [{"type": "PersistentVolumeClaim"}]}})
        assert found == [
            (
                "spec.limits[0].limits: Required value: either minimum or maximum storage value is required, but neither was "
                "provided"
            )
        ]


class TestResourceQuotas:
    def test_counts_are_whole_and_not_negative(self, types: Types) -> None:
        hard = {"configmaps": "1500m", "count/widgets.example.com": "-1", "cpu": "1500m"}
        assert types.errors(types("resourcequotas"), {"spec": {"hard": hard}}) == [
            'spec.hard[configmaps]: Invalid value: "1500m": must be an integer',
            'spec.hard[count/widgets.example.com]: Invalid value: "-1": must be greater than or equal to 0',
        ]

    def test_unqualified_resource_names_must_be_known(self, types: Types) -> None:
        found = types.errors(types("resourcequotas"), {"spec": {"hard": {"apples": "1"}}})
        assert found == [
            'spec.hard[apples]: Invalid value: "apples": must be a standard resource type or fully qualified',
            'spec.hard[apples]: Invalid value: "apples": must be a standard resource for quota',
        ]

    def test_scopes_do_not_contradict_each_other(self, types: Types) -> None:
        scopes = ["Terminating", "NotTerminating"]
        found = types.errors(types("resourcequotas"), {"spec": {"hard": {"pods": "1"}, "scopes": scopes}})
        assert found == ['spec.scopes: Invalid value: ["Terminating","NotTerminating"]: conflicting scopes']

    def test_scopes_fit_their_resources_and_stay(self, types: Types) -> None:
        spec = {"hard": {"configmaps": "1"}, "scopes": ["BestEffort"]}
        assert types.errors(types("resourcequotas"), {"spec": spec}) == [
            'spec.scopes: Invalid value: ["BestEffort"]: unsupported scope applied to resource'
        ]
        found = types.update_errors(
            types("resourcequotas"),
            {"spec": {"hard": {"pods": "1"}}},
            {"spec": {"hard": {"pods": "1"}, "scopes": ["BestEffort"]}},
        )
        assert found == ["spec.scopes: Invalid value: []: field is immutable"]

    def test_a_row_shows_what_is_used(self, types: Types) -> None:
        status = {"hard": {"cpu": "2", "limits.cpu": "4"}, "used": {"cpu": "1"}}
        obj = types.create(types("resourcequotas"), {})
        assert types("resourcequotas").strategy.cells({**obj, "status": status}) == [
            "cpu: 1/2",
            "limits.cpu: 0/4",
            "0s",
        ]


def test_a_lease_lasts_a_while(types: Types) -> None:
    spec = {"leaseDurationSeconds": 0, "leaseTransitions": -1, "preferredHolder": "b"}
    assert types.errors(types("leases", "coordination.k8s.io"), {"spec": spec}) == [
        "spec.leaseDurationSeconds: Invalid value: 0: must be greater than 0",
        "spec.leaseTransitions: Invalid value: -1: must be greater than or equal to 0",
        "spec.preferredHolder: Forbidden: may only be specified if `strategy` is defined",
    ]
