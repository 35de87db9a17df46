# SPDX-License-Identifier: GPL-2.0-only
"""Tests of edit."""

import os
from unittest import mock

from lab import edit
from lab.failure import Failure, Status
from tests.source_tree import SourceTreeTest


class EditTest(SourceTreeTest):
    """Changes to a copy of a source tree."""

    def test_patch(self) -> None:
        tree = edit.kernel(self.path)
        tree.sub("drivers/xen/privcmd.c", "^int driver", "long driver")
        tree.put("drivers/xen/new.c", "int new;\n")
        tree.remove("drivers/xen/xenfs/super.c")
        output = self.path / "out/a.patch"
        author = {"GIT_AUTHOR_NAME": "A B", "GIT_AUTHOR_EMAIL": "a@b"}
        with mock.patch.dict(os.environ, author):
            tree.patch("subject\n\nbody\n", output)
        text = output.read_text(encoding="utf-8")
        for line in (
            "Subject: [PATCH] subject",
            "Signed-off-by: A B <a@b>",
            "-int driver;",
            "+long driver;",
            "+int new;",
            "deleted file mode 100644",
        ):
            self.assertIn(f"{line}\n", text)
        self.assertEqual(sorted(output.parent.iterdir()), [output])
        for name, content in self.KERNEL.items():
            self.assertEqual((self.path / name).read_text(encoding="utf-8"), content)

    def test_patch_that_cannot_be_written(self) -> None:
        # The longest name that a file can have, and a longer one.
        names = ("a" * 255, "a" * 256)
        output = self.path / "out"
        tree = edit.kernel(self.path)
        tree.patch("subject", output / names[0], ("A B", "a@b"))
        message = f"^cannot write {output / names[1]}: File name too long$"
        with self.assertRaisesRegex(Failure, message) as caught:
            tree.patch("subject", output / names[1], ("A B", "a@b"))
        self.assertEqual(caught.exception.status, Status.USAGE)
        self.assertEqual(os.listdir(output), [names[0]])

    def test_other_changes_have_another_digest(self) -> None:
        tree = edit.kernel(self.path)
        digests = [tree.digest(("drivers/",))]
        for name, text in (("new.c", "a"), ("new.c", "b"), ("newer.c", "b")):
            tree.put(f"drivers/xen/{name}", text)
            digests.append(tree.digest(("drivers/",)))
        tree.remove("drivers/xen/privcmd.c")
        digests.append(tree.digest(("drivers/",)))
        self.assertEqual(len(set(digests)), 5)
        tree.put("samples/xen/new.c", "a")
        self.assertEqual(tree.digest(("drivers/",)), digests[-1])
