"""Deadlines 期限 and the rule packs 办理规则包 that they come from.

`reckoning` counts a limit out to a date and says why; `rules` is what a pack holds; both are pure and know
the standard library only. `calendar` knows China's official working days; `pack` reads and compares the
YAML files in `packs/`. Invariant: no limit, count or choice that differs by place stands in code.
"""
