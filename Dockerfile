FROM mcr.microsoft.com/dotnet/sdk:10.0 AS build
WORKDIR /build

# The files that decide which packages are restored come first and alone: this layer is rebuilt when a dependency changes, not
# when a line of code does.
COPY Directory.Build.props Directory.Packages.props ./
COPY src/SoakHost.Model/SoakHost.Model.csproj src/SoakHost.Model/packages.lock.json src/SoakHost.Model/
COPY src/SoakHost.Engine/SoakHost.Engine.csproj src/SoakHost.Engine/packages.lock.json src/SoakHost.Engine/
COPY src/SoakHost.HostKernel/SoakHost.HostKernel.csproj src/SoakHost.HostKernel/packages.lock.json src/SoakHost.HostKernel/
COPY src/SoakHost/SoakHost.csproj src/SoakHost/packages.lock.json src/SoakHost/
RUN dotnet restore src/SoakHost/SoakHost.csproj --locked-mode

# A project alone is built without the analysers: they are the solution's, which the tests build.
COPY src src
RUN dotnet publish src/SoakHost/SoakHost.csproj --no-restore --configuration Release --output /app && mkdir /data

# No shell and no package manager: whatever runs here, the health check too, is the program itself.
FROM mcr.microsoft.com/dotnet/aspnet:10.0-noble-chiseled
WORKDIR /app
COPY --from=build /app .
# A new named volume takes its owner from the image's folder; without this one the program could not write to it.
COPY --from=build --chown=$APP_UID:$APP_UID /data /data
# The base image names a port of its own; Kestrel would warn that the configured endpoint overrides it.
ENV ASPNETCORE_HTTP_PORTS= PATH=/app:$PATH
USER $APP_UID
EXPOSE 8080
VOLUME ["/data"]
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --start-interval=1s --retries=3 CMD ["/app/soakhost", "healthcheck"]
ENTRYPOINT ["/app/soakhost"]
