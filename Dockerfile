# The service alone: one binary, no shell, not root. Emulators and demo are a build argument away (FEATURES=sandbox).
FROM rust:1.95-slim-bookworm AS build
# aws-lc-sys and the bundled SQLite are C.
RUN apt-get update \
    && apt-get install --yes --no-install-recommends build-essential cmake \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY . .
ARG FEATURES=""
# The toolchain of the image, so that rust-toolchain.toml does not fetch another. Caches outlive a build, so the binary is copied out.
ENV RUSTUP_TOOLCHAIN=1.95
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/src/target \
    cargo build --release --locked --features "${FEATURES}" \
    && cp target/release/campaign-sync /usr/local/bin/campaign-sync \
    && mkdir /data

FROM gcr.io/distroless/cc-debian12:nonroot
COPY --from=build /usr/local/bin/campaign-sync /usr/local/bin/campaign-sync
# 65532 is `nonroot`. The directory is in the image so that a new volume gets its owner.
COPY --from=build --chown=65532:65532 /data /data
VOLUME /data
WORKDIR /data
ENV CAMPAIGN_SYNC__SERVER__LISTEN=0.0.0.0:8080 \
    CAMPAIGN_SYNC__DATABASE__URL=sqlite:///data/campaign-sync.db
EXPOSE 8080
USER nonroot
# Ends within 30 s of SIGTERM, with the batch in hand finished: give it that long before SIGKILL.
STOPSIGNAL SIGTERM
ENTRYPOINT ["/usr/local/bin/campaign-sync"]
CMD ["serve"]
