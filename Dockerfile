# A server for expansion; docs/serve.md says how to run it.
#
#   docker build -t medalist .
#
# The build takes packages from the network. The container needs none: the embedded model is part of the image, and a run
# of your own is mounted.

FROM python:3.12-slim

ENV PIP_NO_CACHE_DIR=1 \
    PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1

WORKDIR /src
COPY pyproject.toml README.md LICENSE ./
COPY release/long_description.py release/
COPY locks locks
COPY src src

# PyTorch's build for CPUs, from its own index; the other packages as in the tests
RUN pip install --no-deps --require-hashes --index-url https://download.pytorch.org/whl/cpu -r locks/torch.txt \
    && pip install --no-deps --require-hashes -r locks/serve.txt \
    && pip install --no-deps --no-build-isolation . \
    && rm -r /src/*

# The embedded model is converted now: the container's own file system is read-only
ENV MEDALIST_CACHE=/opt/medalist
RUN python -c "from medalist.models.load import load_base; load_base('smollm2-135m')" \
    && chmod -R a+rX /opt/medalist

# Whatever a run names is beside it; nothing is looked up
ENV HF_HUB_OFFLINE=1 \
    HOME=/tmp
WORKDIR /tmp
USER 65532:65532

EXPOSE 8000
STOPSIGNAL SIGTERM
HEALTHCHECK --start-period=120s \
    CMD ["python", "-c", "import urllib.request as r; r.build_opener(r.ProxyHandler({})).open('http://127.0.0.1:8000/healthz', timeout=3)"]

# Beyond the container's own loopback a token is needed: MEDALIST_TOKEN, or a mounted file and --token-file
ENTRYPOINT ["medalist", "serve", "--host", "0.0.0.0", "--port", "8000"]
