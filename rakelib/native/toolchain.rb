# frozen_string_literal: true

require "fileutils"
require "open3"
require_relative "debian"
require_relative "platform"

# Rust for every platform, and zig: what compiles and links the native gems.
class NativeToolchain
  # Its message says what is missing and what to do.
  class Missing < StandardError; end

  HERE = __dir__

  # @param directory [String] where what is fetched is kept
  def initialize(directory)
    @directory = File.expand_path(directory)
  end

  # Debian's where it is installed: its standard library can be had for every platform, of the very
  # version. Otherwise the one on PATH.
  def cargo
    @cargo ||= debian_rust? ? "/usr/bin/cargo" : Cargo.find
  end

  def rustc
    @rustc ||= debian_rust? ? "/usr/bin/rustc" : "rustc"
  end

  # Environment that makes Cargo compile and link for a platform.
  def environment(platform)
    { "RUSTC" => rustc, "ZIG" => zig, "ZIG_TARGET" => "#{platform.zig}.#{NativePlatform::GLIBC}",
      "ZIG_GLOBAL_CACHE_DIR" => File.join(@directory, "zig-cache"),
      "ZIG_LOCAL_CACHE_DIR" => File.join(@directory, "zig-cache"),
      "CC_#{platform.rust.tr("-", "_")}" => wrapper("cc"),
      "AR_#{platform.rust.tr("-", "_")}" => wrapper("ar"),
      "CARGO_TARGET_#{platform.variable}_LINKER" => wrapper("cc") }
  end

  # Directory of Rust's libraries, for `rustc --sysroot`; nil where rustc finds them by itself.
  def sysroot(platform)
    return if Dir.exist?(File.join(own_sysroot, "lib/rustlib", platform.rust, "lib"))

    unless debian_rust?
      raise Missing, "#{rustc} has no standard library for #{platform.rust}: `rustup target add " \
                     "#{platform.rust}`, or on Debian `apt-get install cargo-web rustc-web`"
    end
    unpack_standard_library(platform)
  end

  # Directories with the C library's headers, for libclang.
  def libc_headers(platform)
    told = run(zig, "cc", "-target", platform.zig, "-E", "-v", "-x", "c", "/dev/null")
    told = told[/search starts here:\n (?m:.+)\nEnd of search list/]
    told.lines.grep(%r{/libc/include/}) { |line| File.expand_path(line.strip) } << newer_headers
  end

  def zig
    @zig ||= begin
      venv = File.join(@directory, "zig")
      requirements = File.join(HERE, "requirements.txt")
      stamp = File.join(venv, "requirements.txt")
      unless File.exist?(stamp) && FileUtils.identical?(requirements, stamp)
        run("python3", "-m", "venv", "--clear", venv)
        run(File.join(venv, "bin/pip"), "install", "--quiet", "--disable-pip-version-check",
            "--require-hashes", "--requirement", requirements)
        FileUtils.cp(requirements, stamp)
      end
      Dir[File.join(venv, "lib/python*/site-packages/ziglang/zig")].first
    end
  end

  private

  def debian_rust?
    return @debian_rust if defined?(@debian_rust)

    @debian_rust = !debian_version.nil?
  end

  def debian_version
    output, status = Open3.capture2("dpkg-query", "-W", "-f", "${Version}", "libstd-rust-web-dev",
                                    err: File::NULL)
    # A binNMU of one architecture is not one of all.
    output if status.success? && !output.empty? && File.executable?("/usr/bin/cargo")
  rescue Errno::ENOENT
    nil
  end

  def own_sysroot
    @own_sysroot ||= run(rustc, "--print", "sysroot").chomp
  end

  # Compiler's headers that Ruby was configured to find, and Debian 12's libclang lacks.
  def newer_headers
    directory = File.join(@directory, "include")
    FileUtils.mkdir_p(directory)
    FileUtils.cp(File.join(File.dirname(zig), "lib/include/stdckdint.h"), directory)
    directory
  end

  # rustc takes one sysroot, for the platform and for what runs while compiling.
  def unpack_standard_library(platform)
    version = debian_version
    root = File.join(@directory, "rust-#{version}-#{platform.debian}")
    libraries = File.join(root, "sysroot/lib/rustlib")
    unless Dir.exist?(libraries)
      apt = File.join(@directory, "apt/own-#{platform.debian}")
      Debian.new(apt, Debian.own_suites, platform.debian)
            .unpack(root, "libstd-rust-web-dev=#{version}")
      FileUtils.mkdir_p(libraries)
      host = run(rustc, "-vV")[/^host: (.+)$/, 1]
      FileUtils.ln_s(File.join(own_sysroot, "lib/rustlib", host), libraries)
      FileUtils.ln_s(File.join(root, "usr/lib/rustlib", platform.rust), libraries)
    end
    File.join(root, "sysroot")
  end

  # The wrapper, under a name of its own.
  def wrapper(name)
    path = File.join(@directory, "bin", name)
    FileUtils.mkdir_p(File.dirname(path))
    FileUtils.install(File.join(HERE, "zig"), path, mode: 0o755)
    path
  end

  def run(*command)
    output, status = Open3.capture2e(*command)
    raise Missing, "#{command.join(" ")} failed:\n#{output}" unless status.success?

    output
  rescue Errno::ENOENT
    raise Missing, "there is no #{command.first} (`bin/setup native` installs it)"
  end
end
