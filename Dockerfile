# Two stages: build the wheels, then a slim image without compilers or caches.
FROM python:3.13-slim AS build
WORKDIR /build
COPY pyproject.toml README.md LICENSE constraints.txt ./
COPY src ./src
RUN pip wheel --no-cache-dir --constraint constraints.txt --wheel-dir /wheels .

FROM python:3.13-slim
RUN --mount=type=bind,from=build,source=/wheels,target=/wheels \
    pip install --no-cache-dir --no-index --find-links /wheels paymux \
    && useradd --system --uid 10001 --home-dir /var/lib/paymux --create-home paymux
USER 10001
# The only place paymux writes to: the journal. Everything else may be mounted read-only.
VOLUME /var/lib/paymux
WORKDIR /var/lib/paymux
ENV PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1
EXPOSE 8080 8081
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=3s --start-period=10s \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8080/readyz', timeout=2)"]
ENTRYPOINT ["paymux"]
CMD ["serve", "--config", "/etc/paymux/paymux.toml"]
