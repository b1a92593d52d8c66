# An image that installs from a wheelhouse in the build context: no server, no network, no compiler; nothing stays behind.
#
#   docker build --network none .
#
# A wheelhouse elsewhere, with buildx:  docker build --network none --build-context wheelhouse=/srv/wheelhouse .
ARG BASE=python:3.12-alpine
FROM scratch AS wheelhouse
COPY wheelhouse /

FROM $BASE
RUN --mount=type=bind,from=wheelhouse,target=/wheelhouse \
    --mount=type=bind,source=requirements.txt,target=/requirements.txt \
    pip install --no-cache-dir --no-index --find-links /wheelhouse -r /requirements.txt
