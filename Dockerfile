# The server in a container: over stdio by default, as hosts start it, or over HTTP (docs/operations.md).
#   docker build --tag sora2-mcp .

FROM python:3.13-slim AS build
WORKDIR /src
# A venv without pip: what installs stays behind. Hashes instead of addresses, as everywhere.
COPY requirements/run.txt requirements/build.txt requirements/
RUN python -m pip install --no-cache-dir --disable-pip-version-check --require-hashes \
        --requirement requirements/build.txt \
    && python -m venv --without-pip /opt/sora2-mcp \
    && python -m pip --python /opt/sora2-mcp/bin/python install --no-cache-dir --disable-pip-version-check \
        --require-hashes --requirement requirements/run.txt
COPY pyproject.toml README.md LICENSE ./
COPY sora2_mcp sora2_mcp
# Without isolation it is built with what was just installed: nothing is fetched that no hash stands for.
RUN python -m pip wheel --no-cache-dir --disable-pip-version-check --no-build-isolation --no-deps --wheel-dir /wheels . \
    && python -m pip --python /opt/sora2-mcp/bin/python install --no-cache-dir --disable-pip-version-check \
        --no-index --no-deps /wheels/*.whl

FROM python:3.13-slim
LABEL io.modelcontextprotocol.server.name="io.github.sora2-mcp/sora2-mcp" \
    org.opencontainers.image.title="sora2-mcp" \
    org.opencontainers.image.description="MCP server that makes Sora 2 videos" \
    org.opencontainers.image.source="https://github.com/sora2-mcp/sora2-mcp" \
    org.opencontainers.image.licenses="MIT"
# 1000 is the first person's id on most Linux systems, so their folder can be mounted as it is; others come with --user.
RUN groupadd --gid 1000 sora2 \
    && useradd --uid 1000 --gid sora2 --no-create-home --home-dir /data --shell /usr/sbin/nologin sora2 \
    && install --directory --owner=sora2 --group=sora2 --mode=1777 /data /videos
COPY --from=build /opt/sora2-mcp /opt/sora2-mcp
COPY packaging/docker/health.py /opt/sora2-mcp/health.py
ENV PATH="/opt/sora2-mcp/bin:$PATH" \
    XDG_DATA_HOME="/data" \
    SORA2_VIDEO_DIR="/videos"
USER 1000:1000
# Tasks and videos outlive the container: a paid video must not go with it.
VOLUME ["/data", "/videos"]
EXPOSE 8000
HEALTHCHECK --interval=30s --timeout=5s --start-period=10s CMD ["python", "/opt/sora2-mcp/health.py"]
ENTRYPOINT ["sora2-mcp"]
CMD ["serve"]
