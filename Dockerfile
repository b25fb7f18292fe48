# Images of one static binary each: `docker build --target sidecar .`, likewise
# controller and issuer. The same sources and VERSION give the same binary; nothing
# of the build machine gets into it.
ARG GO_VERSION=1.26

FROM --platform=$BUILDPLATFORM docker.io/library/golang:${GO_VERSION} AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY api api
COPY apikey apikey
COPY cmd cmd
COPY controller controller
COPY grant grant
COPY internal internal
COPY issuer issuer
COPY policy policy
COPY sidecar sidecar
COPY token token
ARG TARGETOS TARGETARCH
ARG VERSION=dev
ENV CGO_ENABLED=0 GOTOOLCHAIN=local GOFLAGS="-trimpath -buildvcs=false -mod=readonly"
RUN export GOOS=${TARGETOS} GOARCH=${TARGETARCH}; \
    ldflags="-s -w -buildid= -X main.version=${VERSION}"; \
    go build -o /out/ -ldflags "$ldflags" -tags nethttpomithttp2 ./cmd/sidecar ./cmd/issuer && \
    go build -o /out/ -ldflags "$ldflags" ./cmd/controller

# The sidecar runs as a user of its own in every agent's pod; remote key sets
# need the certificates.
FROM scratch AS sidecar
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY --from=build /out/sidecar /sidecar
USER 10753:10753
ENTRYPOINT ["/sidecar"]

FROM scratch AS controller
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY --from=build /out/controller /controller
USER 65532:65532
ENTRYPOINT ["/controller"]

# The issuer fetches remote key sets of sessions: it needs the certificates too.
FROM scratch AS issuer
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY --from=build /out/issuer /issuer
USER 10753:10753
ENTRYPOINT ["/issuer"]
