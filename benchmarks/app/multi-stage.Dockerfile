# A stage that compiles, and one that installs its wheels and has no compiler.
ARG BASE=python:3.12-alpine
FROM $BASE AS builder
ARG APK=""
RUN --mount=type=bind,source=mirror,target=/mirror apk add --no-cache $APK gcc musl-dev libffi-dev
COPY requirements.txt /requirements.txt
RUN --mount=type=bind,source=sources,target=/sources \
    pip wheel --no-index --find-links /sources --wheel-dir /wheels -r /requirements.txt

FROM $BASE
RUN --mount=type=bind,from=builder,source=/wheels,target=/wheels \
    --mount=type=bind,source=requirements.txt,target=/requirements.txt \
    pip install --no-cache-dir --no-index --find-links /wheels -r /requirements.txt
COPY app.py /app.py
USER nobody
CMD ["python3", "/app.py"]
