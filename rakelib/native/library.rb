# frozen_string_literal: true

require_relative "bindings"
require_relative "debian"
require_relative "platform"
require_relative "toolchain"

# The extension, built for a platform and a version of Ruby that need not be this machine's.
class NativeLibrary
  def initialize(platform, ruby, toolchain:, directory:)
    @platform = platform
    @ruby = ruby
    @toolchain = toolchain
    @directory = File.expand_path(directory)
    @root = File.expand_path("../..", __dir__)
  end

  # Builds it and answers where it is.
  def build
    quietly "#{@platform} #{@ruby}", @toolchain.cargo, "build", "--release", "--locked",
            "--package", "em_websocket_rs", "--target", @platform.rust, "--target-dir", target,
            env: environment, chdir: @root
    File.join(target, @platform.rust, "release/libem_websocket_rs.so")
  end

  # @return [RubyBindings] as rb-sys generates them
  def bindings
    quietly "bindings #{@platform} #{@ruby}", @toolchain.cargo, "check", "--locked",
            "--package", "rb-sys", "--target", @platform.rust, "--target-dir", target,
            env: environment, chdir: @root
    RubyBindings.of_build(File.join(target, @platform.rust, "debug"))
  end

  private

  def target = File.join(@directory, "target")

  def environment
    sysroot = @toolchain.sysroot(@platform)
    @toolchain.environment(@platform).merge(
      rbconfig,
      "CARGO_PROFILE_RELEASE_DEBUG" => "0", "CARGO_PROFILE_RELEASE_STRIP" => "symbols",
      "CARGO_PROFILE_RELEASE_LTO" => nil, "CARGO_PROFILE_RELEASE_CODEGEN_UNITS" => nil,
      "CARGO_PROFILE_RELEASE_INCREMENTAL" => nil, "CARGO_PROFILE_RELEASE_OPT_LEVEL" => nil,
      "CARGO_ENCODED_RUSTFLAGS" => [*remaps, *sysroot && "--sysroot=#{sysroot}"].join("\x1f"),
      "RUSTFLAGS" => nil, "BINDGEN_EXTRA_CLANG_ARGS" => clang_arguments
    )
  end

  # No path of this machine in what is built: it would be another one elsewhere.
  def remaps
    cargo_home = ENV.fetch("CARGO_HOME") { File.join(Dir.home, ".cargo") }
    [[target, "/target"], [@directory, "/native"],
     *Dir[File.join(cargo_home, "registry/src/*")].map { |path| [path, "/crates"] },
     [@root, "/em-websocket-rs"]].map { |from, to| "--remap-path-prefix=#{from}=#{to}" }.reverse
  end

  # Answers to what rb-sys would ask the Ruby of this machine, of the one that it is for.
  def rbconfig
    major, minor = @ruby.version.split(".")
    api = "#{@ruby}.0"
    include = File.join(headers, "usr/include")
    { "CROSS_COMPILING" => "yes", "MAJOR" => major, "MINOR" => minor, "TEENY" => "0",
      "PATCHLEVEL" => "0", "ruby_version" => api, "RUBY_PROGRAM_VERSION" => api,
      "RUBY_API_VERSION" => @ruby.version, "ruby_install_name" => "ruby",
      "RUBY_SO_NAME" => "ruby-#{@ruby}", "ENABLE_SHARED" => "yes", "target_os" => "linux",
      "arch" => @platform.gem, "platform" => @platform.gem,
      "rubyhdrdir" => File.join(include, "ruby-#{api}"),
      "rubyarchhdrdir" => File.join(include, "#{@platform.zig}/ruby-#{api}") }
      .transform_keys { |key| "RBCONFIG_#{key}" }
  end

  def clang_arguments
    ["-nostdlibinc", *@toolchain.libc_headers(@platform).flat_map { |path| ["-isystem", path] }]
      .join(" ")
  end

  # Ruby's headers for the platform: they differ in config.h.
  def headers
    unpacked = File.join(@directory, "ruby-#{@ruby}-#{@platform.debian}")
    unless Dir.exist?(unpacked)
      apt = File.join(@directory, "apt/#{@ruby.suites.last}-#{@platform.debian}")
      Debian.new(apt, Debian.suites(*@ruby.suites), @platform.debian)
            .unpack(unpacked, "ruby#{@ruby}-dev")
    end
    unpacked
  end
end
