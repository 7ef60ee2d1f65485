"""Text, OneOf, Sequence and Graph on the wire; spaces that bring rows of their own."""

import unittest

import numpy as np
from gymnasium import Space, spaces
from nose2.tools import params

from gym_http.errors import BadValue, UnsupportedSpace
from gym_http.spaces import builder, contains, decode, describe, encode, space_from_description
from tests.test_spaces import over_the_wire

BIT = {"name": "Discrete", "n": 2, "start": 0, "dtype": "int64"}
POINT = spaces.Box(0, 1, (2,))
GRAPH = spaces.Graph(POINT, spaces.Discrete(3))
WORD = spaces.Text(3, charset="ab")
EITHER = spaces.OneOf([spaces.Discrete(2), POINT])
WORDS = spaces.Sequence(WORD)
STACK = spaces.Sequence(POINT, stack=True)


class Describe(unittest.TestCase):
    @params(
        (WORD, {"name": "Text", "min_length": 1, "max_length": 3, "charset": "ab"}),
        (spaces.OneOf([spaces.Discrete(2)]), {"name": "OneOf", "spaces": [BIT]}),
        (
            spaces.Sequence(spaces.Discrete(2), stack=True),
            {"name": "Sequence", "space": BIT, "stack": True},
        ),
        (
            spaces.Graph(spaces.Discrete(2), None),
            {"name": "Graph", "node_space": BIT, "edge_space": None},
        ),
    )
    def test_says_what_a_client_needs(self, space, expected):
        self.assertEqual(over_the_wire(describe(space)), expected)

    def test_the_order_of_a_charset_is_that_of_its_samples(self):
        space = spaces.Text(9, charset="zyx")
        again = space_from_description(over_the_wire(describe(space)))
        space.seed(4), again.seed(4)
        self.assertEqual([space.sample() for _ in range(9)], [again.sample() for _ in range(9)])

    @params(
        None, [], {}, {"name": "Cube"}, {"name": "Box"}, {"name": ["Box"]},
        {"name": "Discrete", "n": 0, "start": 0, "dtype": "int64"},
        {"name": "Discrete", "n": 2, "start": 0, "dtype": "object"},
        {"name": "Tuple", "spaces": [{"name": "Nope"}]},
        {"name": "Box", "shape": [2], "low": [0], "high": [1], "dtype": "float32"},
    )  # fmt: skip
    def test_no_description(self, description):
        with self.assertRaisesRegex(ValueError, "no description of a known space"):
            space_from_description(description)


class OnTheWire(unittest.TestCase):
    def test_a_sequence_is_a_list(self):
        self.assertEqual(encode(WORDS, ("a", "bb")), ["a", "bb"])
        self.assertEqual(decode(WORDS, ["a", "bb"]), ("a", "bb"))
        self.assertEqual(decode(WORDS, []), ())

    def test_a_stack_of_numbers_is_one_array(self):
        batch = np.array([[0.5, 0.25], [1, 0]], np.float32)
        self.assertIs(type(encode(STACK, batch)), np.ndarray)
        np.testing.assert_array_equal(decode(STACK, batch.tolist()), batch, strict=True)

    def test_one_of_says_which(self):
        self.assertEqual(over_the_wire(encode(EITHER, (np.int64(0), np.int64(1)))), [0, 1])
        which, element = decode(EITHER, [1, [0.5, 0.5]])
        self.assertEqual((which, element.tolist()), (1, [0.5, 0.5]))

    def test_a_graph_has_three_parts(self):
        graph = spaces.GraphInstance(
            np.ones((2, 2), np.float32), np.array([2]), np.array([[0, 1]], np.int32)
        )
        sent = over_the_wire(encode(GRAPH, graph))
        self.assertEqual(sent, {"nodes": [[1.0, 1.0]] * 2, "edges": [2], "edge_links": [[0, 1]]})
        self.assertTrue(GRAPH.contains(decode(GRAPH, sent)))

    @params(
        (WORD, 5), (WORD, None), (WORD, ""), (WORD, "abba"), (WORD, "c"), (WORD, ["a"]),
        (EITHER, 0), (EITHER, [0]), (EITHER, [2, 0]), (EITHER, [0, [0.5, 0.5]]),
        (EITHER, [True, 0]), (EITHER, [0, 0, 0]), (EITHER, [-1, 0]), (EITHER, None),
        (WORDS, "ab"), (WORDS, ["a", 1]), (WORDS, None), (WORDS, {}), (WORDS, 3),
        (STACK, 0.5), (STACK, [0.5]), (STACK, [[0.5, 2.0]]), (STACK, [[0.5, 0.5], [0.5]]),
        (STACK, np.zeros((60_000, 0))), (STACK, [np.array(0.5)]),
        (STACK, np.array(0.5)), (STACK, np.zeros((2, 3))), (STACK, None),
    )  # fmt: skip
    def test_refused(self, space, wire):
        self.refuse(space, wire)

    @params(
        ({"nodes": [[0.5, 0.5]]}, "keys"),
        ({"nodes": 5}, "nodes"),
        ({"nodes": [[0.5, 2.0]]}, "nodes"),
        ({"edges": [0, 0]}, "edge_links"),
        ({"edges": None}, "edges"),
        ({"edges": [3]}, "edges"),
        ({"edge_links": [[0, 2]]}, "edge_links.*from 0 to 1"),
        ({"edge_links": [[-1, 0]]}, "edge_links"),
        ({"edge_links": [0, 1]}, "edge_links"),
        ({"edge_links": None}, "edge_links"),
        ({"nodes": []}, "edge_links"),
    )
    def test_no_graph(self, wrong, message):
        good = {"nodes": [[0.5, 0.5]] * 2, "edges": [2], "edge_links": [[0, 1]]}
        self.assertTrue(contains(GRAPH, good))
        self.refuse(GRAPH, wrong if message == "keys" else {**good, **wrong}, message)
        if message == "edges":
            self.refuse(spaces.Graph(POINT, None), good, "edges: expected null")

    def test_nested_ones_say_where(self):
        self.refuse(spaces.Sequence(EITHER), [[0, 1], [0, 5]], r"^\[1\]\[1\]: .* from 0 to 1")

    @params((WORD, 5), (WORD, b"a"), (WORD, "\ud800"), (WORDS, 5), (EITHER, 5), (EITHER, (9, 0)))
    def test_what_environments_must_not_return(self, space, value):
        with self.assertRaises((TypeError, ValueError, LookupError)):
            encode(space, value)

    def test_an_environment_with_edges_where_there_are_none(self):
        graph = GRAPH.sample(num_nodes=3, num_edges=2)
        with self.assertRaisesRegex(ValueError, "without edges"):
            encode(spaces.Graph(POINT, None), graph)

    def refuse(self, space, wire, message=""):
        with self.assertRaisesRegex(BadValue, message):
            decode(space, wire)
        self.assertFalse(contains(space, wire))


class Mission(Space):
    """Strings, but no Text: as MiniGrid's MissionSpace."""

    def __init__(self):
        super().__init__(dtype=str)

    def contains(self, x):
        return x.startswith("go to ")


class Tree(Space):
    """Of nobody's kind, until it gets its rows."""

    def __init__(self, height):
        super().__init__()
        self.height = height

    def __eq__(self, other):
        return isinstance(other, Tree) and self.height == other.height


class OfOnesOwn(unittest.TestCase):
    def test_text_like_ones_serve_themselves(self):
        space = Mission()
        self.assertEqual(decode(space, "go to the door"), "go to the door")
        self.assertEqual(encode(space, "go to the door"), "go to the door")
        for wire in ("stay", 5, None):
            with self.assertRaises(BadValue):
                decode(space, wire)
        again = space_from_description(over_the_wire(describe(space)))
        self.assertTrue(again.contains("go to the ü door"))
        self.assertFalse(again.contains(5))

    def test_rows_can_be_added(self):
        with self.assertRaises(UnsupportedSpace):
            describe(Tree(3))

        @describe.register
        def _(space: Tree) -> dict:
            return {"name": "Tree", "height": space.height}

        @decode.register
        def _(space: Tree, wire: object, strict: bool = True) -> object:
            return ("tree", wire)

        @encode.register
        def _(space: Tree, value: object) -> object:
            return value[1]

        @builder("Tree")
        def build(facts: dict) -> Tree:
            return Tree(facts["height"])

        forest = spaces.Dict({"trees": spaces.Tuple([Tree(3), Tree(4)])})
        self.assertEqual(space_from_description(over_the_wire(describe(forest))), forest)
        sent = over_the_wire(encode(forest, {"trees": (("tree", 1), ("tree", 2))}))
        self.assertEqual(decode(forest, sent), {"trees": (("tree", 1), ("tree", 2))})
