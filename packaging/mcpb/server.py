"""Where a host's uv starts the server in the unpacked bundle: beside this file lies the whole package."""

from sora2_mcp.__main__ import main

if __name__ == "__main__":
    main()
