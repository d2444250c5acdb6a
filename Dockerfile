# Pinned by version. A digest must be resolved at a registry: pin it in your own copy if you build for production.
# For linux/amd64 and linux/arm64. The build runs on the builder's own processor and publishes for the target's. See deploy/README.md.
FROM --platform=$BUILDPLATFORM mcr.microsoft.com/dotnet/sdk:10.0.401 AS build
ARG TARGETARCH
WORKDIR /build

# Copy only the files that determine the packages, so that this layer is rebuilt when a dependency changes, not when code does.
COPY Directory.Build.props Directory.Packages.props LICENSE ./
COPY .config .config
COPY src/SoakHost.Model/SoakHost.Model.csproj src/SoakHost.Model/packages.lock.json src/SoakHost.Model/
COPY src/SoakHost.Engine/SoakHost.Engine.csproj src/SoakHost.Engine/packages.lock.json src/SoakHost.Engine/
COPY src/SoakHost.HostKernel/SoakHost.HostKernel.csproj src/SoakHost.HostKernel/packages.lock.json src/SoakHost.HostKernel/
COPY src/SoakHost.Watch/SoakHost.Watch.csproj src/SoakHost.Watch/packages.lock.json src/SoakHost.Watch/
COPY src/SoakHost/SoakHost.csproj src/SoakHost/packages.release.lock.json src/SoakHost/
RUN dotnet restore src/SoakHost/SoakHost.csproj -p:ForRelease=true --locked-mode && dotnet tool restore

# Building one project runs no analysers; the build of the solution does. Publishing also writes the bill of materials.
COPY src src
RUN dotnet publish src/SoakHost/SoakHost.csproj -p:ForRelease=true --arch $TARGETARCH --no-self-contained --no-restore \
      --configuration Release --output /app \
    && mkdir /data

# For proofs: the same program with an SMT solver. docker build --target prove --tag soakhost-prove:0.1.0 .
FROM mcr.microsoft.com/dotnet/aspnet:10.0.12-noble AS prove
LABEL org.opencontainers.image.title="SoakHost with z3" \
      org.opencontainers.image.description="Proves KVM's page-fault retry protocol for every counter" \
      org.opencontainers.image.version="0.1.0" \
      org.opencontainers.image.licenses="MIT" \
      org.opencontainers.image.source="https://github.com/soakhost/soakhost"
RUN apt-get update && apt-get install --yes --no-install-recommends z3 && rm -rf /var/lib/apt/lists/*
WORKDIR /app
COPY --from=build /app .
COPY --from=build --chown=$APP_UID:$APP_UID /data /data
ENV ASPNETCORE_HTTP_PORTS= PATH=/app:$PATH
USER $APP_UID
VOLUME ["/data"]
ENTRYPOINT ["/app/soakhost"]
CMD ["prove"]

# The image of all else, and the default target. It has no shell and no package manager. The health check is the program itself.
FROM mcr.microsoft.com/dotnet/aspnet:10.0.12-noble-chiseled AS soakhost
LABEL org.opencontainers.image.title="SoakHost" \
      org.opencontainers.image.description="Soak-tests KVM's page-fault retry protocol across counter boundaries" \
      org.opencontainers.image.version="0.1.0" \
      org.opencontainers.image.licenses="MIT" \
      org.opencontainers.image.source="https://github.com/soakhost/soakhost"
WORKDIR /app
COPY --from=build /app .
# A new named volume inherits its owner from this folder. Without it the program could not write to the volume.
COPY --from=build --chown=$APP_UID:$APP_UID /data /data
# Clears the port of the base image. Otherwise Kestrel warns that the configured endpoint overrides it.
ENV ASPNETCORE_HTTP_PORTS= PATH=/app:$PATH
USER $APP_UID
EXPOSE 8080 8081
VOLUME ["/data"]
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --start-interval=1s --retries=3 CMD ["/app/soakhost", "healthcheck"]
ENTRYPOINT ["/app/soakhost"]
