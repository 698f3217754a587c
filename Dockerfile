# Builds the image without Nix: one static binary on an empty base image.
#   buildah bud --build-arg WAYBILL_COMMIT=… --build-arg WAYBILL_BUILT_AT=… .
# `cargo pipeline image` passes the values of the commit, so that a rebuild produces the same bytes.
ARG RUST_IMAGE=docker.io/library/rust:1.95.0-bookworm@sha256:6258907abe69656e41cd992e0b705cdcfabcbbe3db374f92ed2d47121282d4a1

FROM ${RUST_IMAGE} AS build
ARG TARGET=x86_64-unknown-linux-musl
# A base image that already contains these tools needs no network.
RUN command -v musl-gcc || { apt-get update && apt-get install --yes --no-install-recommends musl-tools; }
# cargo-auditable embeds the list of crates in the binary, where scanners find it.
ARG AUDITABLE=0.7.7
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/tmp/auditable \
    command -v cargo-auditable \
    || cargo install --locked --root /usr/local --target-dir /tmp/auditable --version "$AUDITABLE" cargo-auditable
RUN [ -d "$(rustc --print target-libdir --target "$TARGET")" ] || rustup target add "$TARGET"
WORKDIR /build
COPY Cargo.toml Cargo.lock ./
# Cargo requires the manifests of all packages in the workspace, although it builds only one of them.
COPY crates/devkit/Cargo.toml crates/devkit/
COPY crates/pipeline/Cargo.toml crates/pipeline/
COPY crates/lab/Cargo.toml crates/lab/
COPY crates/testkit/Cargo.toml crates/testkit/
RUN mkdir crates/devkit/src crates/pipeline/src crates/lab/src crates/testkit/src \
    && touch crates/devkit/src/lib.rs crates/pipeline/src/main.rs crates/lab/src/main.rs crates/testkit/src/lib.rs
COPY src src
COPY migrations migrations
ARG WAYBILL_COMMIT=unknown
ARG WAYBILL_BUILT_AT=unknown
# Remapped paths are the same for every builder. OpenSSL embeds its build time, which SOURCE_DATE_EPOCH fixes: OpenSSL
# may be built once for several commits, so the time of a commit would not be reproducible.
# Cargo compares the times of files. A new layer gives all its files a new time, and a cached layer keeps an old one,
# whatever they contain. So all files get the same old time, and a hash of its source decides whether the library is
# compiled. The program contains the commit. It is always compiled, which takes two seconds.
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/build/target \
    find src migrations -type f -exec touch --date=@0 {} + \
    && touch src/main.rs \
    && tar --create --sort=name --mtime=@0 --anchored --exclude=src/main.rs --file=/tmp/source.tar src migrations \
    && WAYBILL_SOURCE_HASH="$(sha256sum /tmp/source.tar)" \
    CC_aarch64_unknown_linux_musl=musl-gcc \
    RUSTFLAGS="--remap-path-prefix=/build=. --remap-path-prefix=/usr/local/cargo=cargo" \
    SOURCE_DATE_EPOCH=1 WAYBILL_COMMIT="$WAYBILL_COMMIT" WAYBILL_BUILT_AT="$WAYBILL_BUILT_AT" \
    cargo auditable build --release --locked --package waybill --features postgres --target "$TARGET" \
    && install -D "target/$TARGET/release/waybill" /image/waybill \
    && install -D -m 644 /etc/ssl/certs/ca-certificates.crt /image/etc/ssl/certs/ca-certificates.crt

FROM scratch
COPY --from=build /image /
# Kubernetes can verify a numeric user to be other than root.
USER 65532:65532
EXPOSE 8080
ENTRYPOINT ["/waybill"]
LABEL org.opencontainers.image.title="waybill" \
    org.opencontainers.image.description="A ledger of deployments" \
    org.opencontainers.image.licenses="MIT"
