import torch

from benchmarks.augmenting import cut_out, flipped, moved

IMAGES = torch.arange(1, 257, dtype=torch.float).view(1, 1, 16, 16).repeat(200, 3, 1, 1)


def kinds(images):
    return {tuple(image.flatten().tolist()) for image in images}


def test_about_half_of_the_images_are_flipped():
    images = flipped(IMAGES)
    assert kinds(images) == kinds(torch.cat([IMAGES[:1], IMAGES[:1].flip(-1)]))
    assert 60 < (images[:, 0, 0, 0] == 1).sum() < 140


def test_each_image_is_moved_for_itself():
    images = moved(IMAGES, 2)
    assert images.shape == IMAGES.shape
    assert kinds(images) <= {
        tuple(torch.nn.functional.pad(IMAGES[0], (x, -x, y, -y)).flatten().tolist())
        for x in range(-2, 3)
        for y in range(-2, 3)
    }
    assert len(kinds(images)) > 20  # of 25


def test_a_square_of_each_image_becomes_zero():
    is_cut = cut_out(IMAGES, 4) == 0
    assert (is_cut == is_cut[:, :1]).all()  # in every channel
    assert set(is_cut.any(3).sum(2).flatten().tolist()) == {1, 2, 3, 4}  # rows
    assert set(is_cut.any(2).sum(2).flatten().tolist()) == {1, 2, 3, 4}  # columns
    assert (is_cut.sum((2, 3)) == is_cut.any(3).sum(2) * is_cut.any(2).sum(2)).all()


def test_a_generator_makes_the_changes_repeat():
    for change in (flipped, lambda *a: moved(a[0], 2, a[1]), lambda *a: cut_out(a[0], 4, a[1])):
        first, second = (change(IMAGES, torch.Generator().manual_seed(3)) for _ in range(2))
        assert torch.equal(first, second)
