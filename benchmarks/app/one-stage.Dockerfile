# gcc in one stage: whatever compiled is in the image that runs.
ARG BASE=python:3.12-alpine
FROM $BASE
ARG APK=""
RUN --mount=type=bind,source=mirror,target=/mirror apk add --no-cache $APK gcc musl-dev libffi-dev
COPY requirements.txt /requirements.txt
RUN --mount=type=bind,source=sources,target=/sources \
    pip install --no-cache-dir --no-index --find-links /sources -r /requirements.txt
COPY app.py /app.py
USER nobody
CMD ["python3", "/app.py"]
