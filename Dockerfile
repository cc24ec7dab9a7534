# The image of meshd: docker build -t meshd .   How to run it: README.md, "In a container".
# scripts/image/meshd makes the same without a registry, of what is installed on a Debian machine.
FROM node:20-bookworm AS build
WORKDIR /src
COPY package.json package-lock.json ./
RUN npm ci --no-audit --no-fund
COPY . .
RUN scripts/build && scripts/image/copy-meshd /out

FROM node:20-bookworm-slim
# iptables brings both variants, legacy and nft: meshd uses the one that the host uses.
RUN apt-get update \
 && apt-get install -y --no-install-recommends iptables ipset ipvsadm iproute2 kmod \
 && rm -rf /var/lib/apt/lists/*
COPY --from=build /out /
HEALTHCHECK --interval=15s --timeout=10s --retries=3 CMD ["meshctl", "status"]
ENTRYPOINT ["meshd"]
