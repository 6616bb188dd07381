# A static binary on Alpine: about 20 MB. Alpine in place of an empty image for its wget, which the health check uses.
FROM rust:1-alpine AS build
RUN apk add --no-cache musl-dev
WORKDIR /src
COPY . .
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/src/target \
    cargo build --release --locked && cp target/release/pgvigil /pgvigil

FROM alpine:3
# The certificate authorities, for databases and webhooks behind TLS; time zones, for quiet hours.
RUN apk add --no-cache ca-certificates tzdata
COPY --from=build /pgvigil /usr/local/bin/pgvigil
# It writes nothing but spill files, which it unlinks at once, in /tmp; so it needs no account of its own.
USER nobody
# All addresses of the container; which of them the world can reach is decided by what is published of it.
ENV PGVIGIL_LISTEN=0.0.0.0:7777
EXPOSE 7777
# Healthy means live: connected, with exact counts.
HEALTHCHECK --interval=5s --timeout=3s --start-period=30s CMD ["wget", "-q", "-O", "/dev/null", "http://127.0.0.1:7777/readyz"]
ENTRYPOINT ["pgvigil"]
CMD ["serve"]
