"""A message as words, the same for a whole text and for a list of its words.

Invariant: words carry no spaces, punctuation, capitals or full-width forms, and no function words (虚词);
what a text says beyond words, such as where its sentences end, is not used, so that both forms agree.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence
from functools import lru_cache

import rjieba

# Function words, pronouns and courtesies of the language. Which of them stand here was chosen after seeing which
# frequent words published token lists of such messages leave out, so that both forms agree.
FUNCTION_WORDS = frozenset(
    re.findall(
        r"\S+",
        "的 地 得 了 着 过 吗 呢 吧 啊 呀 嘛 哦 哎 唉 啦 么 之 其 此 该 这 那 哪 这个 那个 这些 那些 这样 那样 这里 那里"
        " 这么 那么 怎么 怎样 什么 为什么 哪里 哪个 谁 几 多少 我 你 您 他 她 它 我们 你们 您们 他们 她们 它们 咱们 自己"
        " 本人 大家 是 在 有 和 与 及 以及 或 或者 还是 而 而且 并 并且 但 但是 却 可是 不过 然而 因 因为 由于 所以 因此"
        " 如果 若 假如 要是 虽然 尽管 即使 只要 只有 除非 无论 不管 既 又 也 还 再 就 才 都 全 只 仅 很 太 更 最 非常 十分"
        " 特别 比较 极 极其 不 没 没有 别 不要 不能 不会 不是 无 未 非 被 把 让 叫 给 对 对于 关于 向 往 从 自 到 至 由 以"
        " 用 按 按照 根据 为 为了 于 比 跟 同 随 随着 当 等 等等 上 下 里 内 外 中 间 前 后 会 能 能够 可 可以 可能 应"
        " 应该 应当 必须 要 需 需要 想 请 请问 谢谢 您好 你好 来 去 将 将要 已 已经 曾 曾经 正 正在 刚 刚刚 一 一个 一些"
        " 个 些 每 每个 各 各个 某 某些 其中 其他 其它 另 另外 别的 如 如何 如此 比如 例如 像 似乎 好像 即 就是 也就是"
        " 只是 还有 没 所 者 们",
    )
)


def from_text(text: str) -> list[str]:
    """The words of a text, in order, as a segmenter finds them."""
    return from_words(rjieba.cut(text))


def from_words(words: Iterable[str]) -> list[str]:
    """The words of a message that is already a list of words."""
    return [plain for word in words if (plain := _plain(word))]


@lru_cache(maxsize=1 << 17)
def _plain(word: str) -> str:
    """A word without its capitals and full-width forms; empty where it says nothing."""
    plain = unicodedata.normalize("NFKC", word).lower().strip()
    return plain if plain not in FUNCTION_WORDS and any(sign.isalnum() for sign in plain) else ""


def shingles(words: Sequence[str], size: int = 5) -> frozenset[str]:
    """The sequences of `size` characters of a message without spaces; a shorter message is its only one."""
    joined = "".join(words)
    return frozenset(joined[i : i + size] for i in range(max(1, len(joined) - size + 1)))
