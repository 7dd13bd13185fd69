# An application in two stages: the first has what compiles the gem, the second what runs it. Here it
# is examples/echo.rb, on the gem of this checkout:
#
#   docker build -t echo .
#   docker run -p 8080:8080 --ulimit nofile=20000:20000 --stop-timeout 15 echo
#
# `bin/try-dockerfile` carries it out without Docker.

FROM debian:13-slim AS build
RUN apt-get update && apt-get install -y --no-install-recommends \
      ca-certificates cargo-web gcc libc6-dev libclang-dev make ruby ruby-dev ruby-eventmachine rustc-web
COPY . /src
WORKDIR /src
RUN gem build --output /tmp/em-websocket-rs.gem em-websocket-rs.gemspec && \
    gem install --local --no-document /tmp/em-websocket-rs.gem && \
    rm -r /var/lib/gems/*/cache

FROM debian:13-slim
RUN apt-get update && apt-get install -y --no-install-recommends ruby ruby-eventmachine && \
    rm -rf /var/lib/apt/lists/*
COPY --from=build /var/lib/gems /var/lib/gems
COPY examples/echo.rb /srv/echo/echo.rb
WORKDIR /srv/echo
# In a container nobody comes to 127.0.0.1.
ENV HOST=0.0.0.0 PORT=8080
# A port above 1023 needs no root.
USER nobody
EXPOSE 8080
CMD ["ruby", "echo.rb"]
