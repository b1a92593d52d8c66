# The same with uv, which does not stay in the image either.
#
#   docker build --secret id=netrc,src=$HOME/.netrc .
#   docker build --secret id=netrc,src=$HOME/.netrc --secret id=ca,src=@{ca} .
#
# @{unprotected}Plain http: whoever is on the way can change what is installed. Use https, or the list with hashes beside the
# @{unprotected}index: --require-hashes -r requirements-….txt
ARG BASE=python:3.12-alpine
ARG UV=astral/uv:0.13
FROM $UV AS uv

FROM $BASE
RUN --mount=type=secret,id=netrc,target=/root/.netrc \
    --mount=type=secret,id=ca,target=/run/ca.pem \@{if_ca}
    --mount=type=bind,from=uv,source=/uv,target=/usr/local/bin/uv \
    --mount=type=bind,source=requirements.txt,target=/requirements.txt \
    SSL_CERT_FILE=/run/ca.pem \@{if_ca}
    uv pip install --system --no-cache --default-index @{simple} -r /requirements.txt
