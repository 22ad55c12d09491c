"""Texts for agents: how this server is used, and how a good video comes about.

Source: the vendor's quick start, "Tips for Better Prompts", "Quality Options", "Best Practices" and "Video Storage".
"""

INSTRUCTIONS = """\
Make AI videos with Sora 2: text-to-video and image-to-video generation through Sora2API.
Order with generate_video (it costs the user credits), then call wait_for_video until the video is done: it takes \
one to several minutes. "Still generating" is a normal answer: call wait_for_video again, or tell the user and come \
back later; nothing is lost meanwhile. Never order again because a video is not ready yet. Give the same \
idempotency_key whenever you repeat the same order. Videos are deleted after 15 days: offer download_video. An \
unconfirmed task may have been charged: ask the user before ordering it again. list_tasks finds every earlier video. \
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
- `quality`: `standard` for drafts and trials, `hd` only for the final version; it costs more.
- `aspect_ratio`: `landscape` for desktop and TV, `portrait` for phones.
- `image_urls`: public addresses of JPG or PNG images; the prompt then says how they should move.

## Cost, time, keeping
- Every accepted order costs credits, also when you order the same again. Give an `idempotency_key` and repeat it
  when you repeat a call; an exact repeat soon after joins the order under way by itself.
- A video takes one to several minutes. Waiting is free. Nothing is lost when a wait ends early.
- The service deletes every video after 15 days. `download_video` keeps it.
- A refused prompt (400) costs nothing: change what the service objects to, then order again.
"""
