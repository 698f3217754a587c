# The fallback builder, for where there is no Nix: one static binary on an empty image.
#   buildah bud --build-arg WAYBILL_COMMIT=… --build-arg WAYBILL_BUILT_AT=… .
# `cargo pipeline image` does it with the commit's values, so that a rebuild gives the same bytes.
ARG RUST_IMAGE=docker.io/library/rust:1.95.0-bookworm@sha256:6258907abe69656e41cd992e0b705cdcfabcbbe3db374f92ed2d47121282d4a1

FROM ${RUST_IMAGE} AS build
ARG TARGET=x86_64-unknown-linux-musl
# Nothing happens where these are there already, so that it also builds without a network.
RUN command -v musl-gcc || { apt-get update && apt-get install --yes --no-install-recommends musl-tools; }
# Lists the crates in the binary itself, where scanners find them.
ARG AUDITABLE=0.7.7
RUN command -v cargo-auditable || cargo install --locked --root /usr/local --version "$AUDITABLE" cargo-auditable
RUN [ -d "$(rustc --print target-libdir --target "$TARGET")" ] || rustup target add "$TARGET"
WORKDIR /build
COPY Cargo.toml Cargo.lock ./
# The other packages of the workspace are not built, but Cargo wants to see them.
COPY crates/devkit/Cargo.toml crates/devkit/
COPY crates/pipeline/Cargo.toml crates/pipeline/
COPY crates/lab/Cargo.toml crates/lab/
RUN mkdir crates/devkit/src crates/pipeline/src crates/lab/src \
    && touch crates/devkit/src/lib.rs crates/pipeline/src/main.rs crates/lab/src/main.rs
COPY src src
COPY migrations migrations
ARG WAYBILL_COMMIT=unknown
ARG WAYBILL_BUILT_AT=unknown
# Paths of the builder are of no use in the binary, and would differ between builders. OpenSSL notes when it was built;
# as it may be built once for many commits, the time is none of theirs.
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/build/target \
    RUSTFLAGS="--remap-path-prefix=/build=. --remap-path-prefix=/usr/local/cargo=cargo" \
    SOURCE_DATE_EPOCH=1 WAYBILL_COMMIT="$WAYBILL_COMMIT" WAYBILL_BUILT_AT="$WAYBILL_BUILT_AT" \
    cargo auditable build --release --locked --package waybill --target "$TARGET" \
    && install -D "target/$TARGET/release/waybill" /image/waybill \
    && install -D -m 644 /etc/ssl/certs/ca-certificates.crt /image/etc/ssl/certs/ca-certificates.crt

FROM scratch
COPY --from=build /image /
# A number, so that Kubernetes can see that it is not root.
USER 65532:65532
EXPOSE 8080
ENTRYPOINT ["/waybill"]
LABEL org.opencontainers.image.title="waybill" \
    org.opencontainers.image.description="A ledger of deployments" \
    org.opencontainers.image.licenses="MIT"
