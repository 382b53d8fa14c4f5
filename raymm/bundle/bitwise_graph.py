"""A small ONNX graph told node by node, by what nodes like those before were followed by.

A node's tensors are told by where they were made: so many results before, the next input, a new
constant, or how many others were read since an old one was. So the nodes of a column are the very
same as those of the column before, and take next to nothing. Names of tensors are told by the
number in them (see `raymm.onnx_builder.GraphBuilder.fresh`), constants where they are first read.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from raymm.bundle.bitwise import Coder, damaged
from raymm.bundle.bitwise_attributes import attribute, letters, parse, set_attributes
from raymm.bundle.bitwise_numbers import Numbers
from raymm.bundle.bitwise_text import Texts, noded

_EMPTY, _MADE, _INPUT, _OLD, _NEW = range(5)
"""How a tensor is told that a node reads."""
_NUMBERED, _PUBLIC, _NAMED = range(3)
"""How a name is told: by its number, as one of the graph's outputs, or letter by letter."""
_RAW, _FIELD, _ABSENT = range(3)
"""Where a tensor's numbers are: as bytes, in a field of their type, or in the file's planes."""
_TYPED = {1: "float_data", 2: "int32_data", 3: "int32_data", 6: "int32_data", 7: "int64_data"}
_LARGEST = 1 << 16
"""Numbers of a tensor, and nodes, at most."""
_CONSTANT = "constant"
_MORE = {"domain", "name", "doc_string"}
Signature = tuple[Any, ...]


class Graphs:
    """Codes graphs; what was seen of one is remembered for the next.

    Parameters
    ----------
    coder : Coder
    texts : Texts
        Those of its words.
    like : Graphs, optional
        One whose memory it begins with.
    """

    def __init__(self, coder: Coder, texts: Texts, like: Graphs | None = None) -> None:
        self.coder, self.texts = coder, texts
        self._after: dict[Signature, Signature] = {} if like is None else {**like._after}

    def code(self, told: bytes | None, words: Sequence[str] = (), *, most: int) -> bytes:
        """Code a serialised model of at most so many bytes.

        ``words`` are those that it is likely to hold, in their order.

        Raises
        ------
        ValueError
            When it holds what is not coded.
        """
        import onnx
        from google.protobuf.message import DecodeError  # type: ignore[import-untyped]

        self.texts.left = most
        self.texts.foretell("words", words)
        model = onnx.ModelProto()
        if told is not None:
            try:
                model.ParseFromString(told)
            except DecodeError as error:
                raise ValueError("it is no model") from error
        made = _Walk(self, model if told is not None else None).walk()
        return bytes(made.SerializeToString(deterministic=True))

    def word(self, path: str, told: Any) -> Any:
        """Code what JSON can hold; None stands for what is not told."""
        node = None if told is None else noded(told)
        return json.loads(self.texts.value(path, node))


class _Walk:
    """One graph, and what of it is known so far."""

    def __init__(self, graphs: Graphs, told: Any | None) -> None:
        import onnx

        self.coder, self.graphs, self.told = graphs.coder, graphs, told
        self.numbers = Numbers(graphs.coder)
        self.made = onnx.ModelProto()
        self.places: dict[str, int] = {}
        """Of each result of a node, its number; of constants in `old`, the last read first."""
        self.results: list[str] = []
        self.old: list[str] = []
        self.inputs: list[str] = []
        self.public: list[str] = []
        self.read = 0
        self.last = 0
        self.held: Mapping[str, Any] = {}
        if told is not None:
            self.held = {one.name: one for one in told.graph.initializer}

    def walk(self) -> Any:
        """Code all parts; return the model."""
        told, made = self.told, self.made
        self._shell()
        self.inputs = [one.name for one in made.graph.input]
        self.public = [one.name for one in made.graph.output]
        count = self.coder.number(["nodes"], None if told is None else len(told.graph.node))
        if count > _LARGEST:
            raise damaged("has too many nodes")
        before: tuple[Signature, Signature] = ((), ())
        for place in range(count):
            node = None if told is None else told.graph.node[place]
            signature = self._signature(None if node is None else self._seen(node), before)
            self._grow(signature, node)
            before = before[1], signature
        self._order()
        return made

    def _shell(self) -> None:
        """Code all but nodes and constants."""
        import onnx

        shell = onnx.ModelProto()
        ends: list[tuple[Any, str]] = []
        if self.told is not None:
            shell.CopyFrom(self.told)
            del shell.graph.node[:], shell.graph.initializer[:]
            ends = [(one, "input") for one in shell.graph.input]
            ends += [(one, "output") for one in shell.graph.output]
            del shell.graph.input[:], shell.graph.output[:]
        word = self.graphs.word
        text = word("shell", letters(shell) if self.told is not None else None)
        parse(self.made, text)
        for kind in ("input", "output"):
            given = [one for one, name in ends if name == kind]
            count = self.coder.number([("ends", kind)], None if self.told is None else len(given))
            for place in range(count):
                one = given[place] if given else None
                end = getattr(self.made.graph, kind).add()
                path = "words" if kind == "input" else kind
                name = word(path, None if one is None else one.name)
                if one is not None:
                    one.ClearField("name")
                parse(end, word(f"{kind} type", None if one is None else letters(one)))
                end.name = str(name)

    def _seen(self, node: Any) -> Signature:
        """Return what a told node is: its operator, what it reads, and the names it gives."""
        head = {
            "op": node.op_type,
            **{key: getattr(node, key) for key in sorted(_MORE) if node.HasField(key)},
        }
        if node.attribute:
            head["with"] = {one.name: attribute(one) for one in node.attribute}
        last, read, reads = self.last, self.read, list[tuple[int, Any]]()
        old = list(self.old)
        for name in node.input:
            if not name:
                reads.append((_EMPTY, 0))
            elif name in self.places:
                reads.append((_MADE, len(self.results) - 1 - self.places[name]))
            elif name in self.inputs:
                place = self.inputs.index(name)
                reads.append((_INPUT, place - read))
                read = max(read, place + 1)
            elif name in old:
                reads.append((_OLD, old.index(name)))
                old.remove(name)
                old.insert(0, name)
            else:
                told, last = self._named(name, _CONSTANT, last)
                reads.append((_NEW, told))
                old.insert(0, name)
        names = []
        for name in node.output:
            told, last = self._named(name, node.op_type.lower(), last)
            names.append(told)
        return json.dumps(head, allow_nan=False), tuple(reads), tuple(names)

    def _named(self, name: str, hint: str, last: int) -> tuple[tuple[int, Any], int]:
        """Return how a name is told, and the last number of one."""
        start, _, number = name.rpartition("_")
        if start == hint and number.isdecimal() and str(int(number)) == number:
            return (_NUMBERED, int(number) - last), max(int(number), last)
        if name in self.public:
            return (_PUBLIC, self.public.index(name)), last
        return (_NAMED, name), last

    def _signature(self, told: Signature | None, before: tuple[Signature, Signature]) -> Signature:
        """Code a node as what followed the same nodes before, or in parts."""
        after, bit = self.graphs._after, self.coder.bit
        known = [after.get(before), after.get(before[1:])]
        for number, one in enumerate(known):
            if one is not None and one not in known[:number]:
                contexts = [("same", number), ("same", number, before[1][:1])]
                if bit(["same node", *contexts], None if told is None else int(one == told)):
                    found = one
                    break
        else:
            found = self._in_parts(told)
        after[before] = after[before[1:]] = found
        return found

    def _in_parts(self, told: Signature | None) -> Signature:
        head, reads, names = told or (None, None, None)
        head = self.graphs.texts.value("node", None if head is None else noded(json.loads(head)))
        operator = _head(head)["op"]
        count = self.coder.number([("reads", operator)], None if reads is None else len(reads))
        found: list[Any] = []
        for place in range(count):
            here = operator, min(place, 3)
            how, what = (None, None) if reads is None else reads[place]
            how = self.coder.among([("how", here), ("how", place)], 3, how)
            if how == _NEW:
                found.append((how, self._name_told(("new", here), what)))
            elif how in (_MADE, _INPUT, _OLD):
                back = self.coder.signed([("back", how, here), ("back", how)], what)
                found.append((how, back))
            elif how == _EMPTY:
                found.append((how, 0))
            else:
                raise damaged("has a node that reads what is not there")
        count = self.coder.number([("results", operator)], None if names is None else len(names))
        made = [
            self._name_told(("made", operator), None if names is None else names[place])
            for place in range(count)
        ]
        return json.dumps(_head(head), allow_nan=False), tuple(found), tuple(made)

    def _name_told(self, here: Any, told: tuple[int, Any] | None) -> tuple[int, Any]:
        how, what = told or (None, None)
        how = self.coder.among([("naming", here), "naming"], 2, how)
        if how == _NAMED:
            return how, self.graphs.word("name", what)
        if how > _NAMED:
            raise damaged("has a tensor without a name")
        return how, self.coder.signed([("naming", how, here), ("naming", how)], what)

    def _grow(self, signature: Signature, told: Any | None) -> None:
        """Add a node, and code the constants that it is the first to read."""
        head, reads, names = _head(signature[0]), *signature[1:]
        self._spend(len(signature[0]) + len(reads) + len(names))
        node = self.made.graph.node.add()
        node.op_type = str(head["op"])
        for key in _MORE & head.keys():
            setattr(node, key, str(head[key]))
        set_attributes(node, head.get("with", {}))
        for place, (how, what) in enumerate(reads):
            name = ""
            if how == _MADE:
                name = _at(self.results, len(self.results) - 1 - what)
            elif how == _INPUT:
                name = _at(self.inputs, self.read + what)
                self.read = max(self.read, self.read + what + 1)
            elif how == _OLD:
                name = self.old.pop(_index(self.old, what))
                self.old.insert(0, name)
            elif how == _NEW:
                name = self._name(what, _CONSTANT)
                self.old.insert(0, name)
                self._tensor(name, (node.op_type, min(place, 3)))
            self._spend(len(name))
            node.input.append(name)
        for one in names:
            name = self._name(one, node.op_type.lower())
            self._spend(len(name))
            self.places[name] = len(self.results)
            self.results.append(name)
            node.output.append(name)

    def _spend(self, count: int) -> None:
        self.graphs.texts.left -= count
        if self.graphs.texts.left < 0:
            raise damaged("is longer than it declares")

    def _name(self, told: tuple[int, Any], hint: str) -> str:
        how, what = told
        if how == _NUMBERED:
            number = self.last + what
            self.last = max(self.last, number)
            return f"{hint}_{number}"
        if how == _PUBLIC:
            return _at(self.public, what)
        return str(what)

    def _tensor(self, name: str, here: Any) -> None:
        from onnx import helper, numpy_helper

        coder, made = self.coder, self.made.graph.initializer.add()
        made.name = name
        told = None if self.told is None else self.held.get(name)
        if self.told is not None and (told is None or told.external_data or told.doc_string):
            raise ValueError("a tensor must be held by the graph")
        kind = coder.among([("type", here)], 5, None if told is None else told.data_type)
        sides = coder.number([("sides", here)], None if told is None else len(told.dims))
        if sides > 8:
            raise damaged("has a tensor of too many sides")
        for place in range(sides):
            given = None if told is None else told.dims[place]
            made.dims.append(coder.number([("side", here, place), ("side", place)], given))
        made.data_type = kind
        count = int(np.prod([min(one, _LARGEST + 1) for one in made.dims], dtype=object))
        if count > _LARGEST:
            raise damaged("has a tensor that is too large")
        if kind == 8:
            for place in range(count):
                word = None if told is None else told.string_data[place].decode()
                made.string_data.append(str(self.graphs.word("words", word)).encode())
            return
        held = None
        if told is not None:
            typed = getattr(told, _TYPED.get(kind, "raw_data"))
            held = _RAW if told.raw_data or not count else _FIELD if typed else _ABSENT
        held = coder.among([("held", here)], 2, held)
        if held == _ABSENT:
            return
        try:
            dtype = helper.tensor_dtype_to_np_dtype(kind)
        except KeyError as error:
            raise damaged("has a tensor of no type") from error
        values = None if told is None else numpy_helper.to_array(told).ravel()
        self._spend(count * dtype.itemsize)
        found = self.numbers.code(here, dtype, count, values)
        if held == _RAW:
            made.raw_data = found.astype(dtype.newbyteorder("<"), copy=False).tobytes()
        else:
            getattr(made, _TYPED[kind]).extend(found.tolist())

    def _order(self) -> None:
        """Code where the constants stand, unless it is the order in which they are read."""
        made = list(self.made.graph.initializer)
        names = [one.name for one in made]
        order: list[int] = []
        if self.told is not None:
            where = {one.name: place for place, one in enumerate(self.told.graph.initializer)}
            order = [where[name] for name in names]
        plain = self.coder.bit(
            ["order"], int(order == sorted(order)) if self.told is not None else None
        )
        if plain:
            return
        left = list(range(len(made)))
        found = []
        for place in range(len(made)):
            rest = None if self.told is None else left.index(order[place])
            found.append(left.pop(_index(left, self.coder.number(["place"], rest))))
        del self.made.graph.initializer[:]
        self.made.graph.initializer.extend([made[place] for place in np.argsort(found)])


def _head(text: str) -> dict[str, Any]:
    head = json.loads(text)
    if not isinstance(head, dict) or not isinstance(head.get("op"), str):
        raise damaged("has a node without an operator")
    return head


def _index(held: Sequence[Any], place: int) -> int:
    if not 0 <= place < len(held):
        raise damaged("has a node that reads what is not there")
    return place


def _at(held: Sequence[str], place: int) -> str:
    return held[_index(held, place)]
