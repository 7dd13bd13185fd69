# frozen_string_literal: true

# Writes a Makefile around `cargo build`, for RubyGems to run: `make clean`, `make`, `make install`.

require "rbconfig"
require_relative "bindings"
require_relative "cargo"

cargo = begin
  Cargo.find
rescue Cargo::Missing => e
  abort e.message
end

# `gem install em-websocket-rs -- --with-libclang` reads the headers of the very Ruby that is there.
host = Bindings.host(cargo) unless ARGV.include?("--with-libclang")
settings = Bindings.settings(host) if host
File.write("bindings.toml", settings) if settings
build = "build --release --locked --manifest-path \"#{Cargo::MANIFEST}\" --target-dir target" \
        "#{" --config bindings.toml" if settings}"
# Without Redis (EM::WebSocket.pubsub=): a library that is smaller, and compiles faster.
build += " --no-default-features" if ARGV.include?("--disable-redis")

# What is built on the way is a hundred times the size of the extension and goes once that is
# installed. rb-sys asks $RUBY what it builds for.
File.write("Makefile", <<~MAKEFILE)
  DESTDIR =
  sitearchdir = #{RbConfig::CONFIG["sitearchdir"]}
  directory = $(DESTDIR)$(sitearchdir)/em-websocket

  export RUBY = #{RbConfig.ruby}
  export CARGO_PROFILE_RELEASE_DEBUG = 0
  export CARGO_PROFILE_RELEASE_STRIP = symbols

  all:
  \t"$(RUBY)" "#{__dir__}/build.rb" "#{cargo}" #{build}

  install: all
  \tmkdir -p "$(directory)"
  \tcp target/release/libem_websocket_rs.so "$(directory)/em_websocket_rs.so"
  \trm -rf target

  clean:
  \trm -rf target

  .PHONY: all install clean
MAKEFILE
