# Builds an image equivalent to that of `make image`, for pipelines that need a Dockerfile. CI does not build it.
#   docker build --build-arg VERSION=v0.1.0 --build-arg COMMIT=$(git rev-parse HEAD) -t jupico-operator:v0.1.0 .
FROM --platform=$BUILDPLATFORM golang:1.26 AS build
ARG TARGETOS TARGETARCH VERSION=dev COMMIT=unknown
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY api api
COPY cmd cmd
COPY internal internal
RUN CGO_ENABLED=0 GOOS=$TARGETOS GOARCH=$TARGETARCH go build -trimpath -buildvcs=false \
    -ldflags "-s -w -buildid= -X github.com/jupico-operator/jupico-operator/internal/version.version=$VERSION \
    -X github.com/jupico-operator/jupico-operator/internal/version.commit=$COMMIT" -o /jupico-operator ./cmd

# The program has its CA certificates built in.
FROM scratch
COPY --from=build --chmod=0555 /jupico-operator /jupico-operator
USER 65532:65532
ENTRYPOINT ["/jupico-operator"]
