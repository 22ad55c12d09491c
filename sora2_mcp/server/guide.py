"""Texts for agents: how this server is used, and how a good video comes about.

They have places for what is true of the service (``offered.wording``).

Source: the vendor's quick start, "Tips for Better Prompts", "Quality Options", "Best Practices" and "Video Storage".
"""

INSTRUCTIONS = """\
Make AI videos with {maker}: text-to-video and image-to-video generation.
Order with generate_video{it_costs}, then call wait_for_video until the video is done: it takes \
one to several minutes. "Still generating" is a normal answer: call wait_for_video again, or tell the user and come \
back later; nothing is lost meanwhile. Never order again because a video is not ready yet. Give the same \
idempotency_key whenever you repeat the same order. {deleted} download_video. An \
unconfirmed task {charged}: ask the user before ordering it again. list_tasks finds every earlier video. \
Read sora2://guide for advice on prompts."""

GUIDE = """\
# How to get a good video

## The prompt
Be specific. Name, in this order of importance:
- the scene: "a garden", "a beach at low tide", "a city street at night"
- the subject and what it does: "a ginger kitten chases a butterfly"
- the atmosphere: "bright spring day", "mysterious", "warm evening light"
- the camera: "slow push in", "orbit shot", "static wide shot", "handheld, following"

One scene and one clear action work better than a story. Try variations of a prompt rather than ever longer ones.

## What to choose
- `quality`: `standard` for drafts and trials, `hd` only for the final version; it {hd}.
- `aspect_ratio`: `landscape` for desktop and TV, `portrait` for phones.
- `image_urls`: public addresses of JPG or PNG images; the prompt then says how they should move.
- What `generate_video` does not list cannot be chosen here.

## Orders, time, keeping
- Every accepted order is {paid}, also when you order the same again. Give an `idempotency_key` and repeat it
  when you repeat a call; an exact repeat soon after joins the order under way by itself.
- A video takes one to several minutes. Waiting is free. Nothing is lost when a wait ends early.
- A finished video: {deletes}. `download_video` keeps it.
- A refused prompt makes no video and is not {paid}: change what the service objects to, then order again.
"""
