# frozen_string_literal: true

require "fileutils"
require_relative "debian"

# EventMachine without TLS, from Debian's source, for a platform and a version of Ruby for which
# Debian has no package of it: enough to try a native gem with.
class CrossEventMachine
  # As Debian calls it.
  VERSION = "1.3.0.dev.1"
  DEFINES = %w[BUILD_FOR_RUBY OS_UNIX IS_RUBY_3_OR_LATER HAVE_TYPE_RB_FDSET_T
               HAVE_RB_WAIT_FOR_SINGLE_FD HAVE_RB_THREAD_FD_SELECT HAVE_EPOLL HAVE_EPOLL_CREATE1
               HAVE_WRITEV HAVE_PIPE2 HAVE_ACCEPT4 HAVE_CONST_SOCK_CLOEXEC HAVE_CLOCK_GETTIME
               HAVE_CONST_CLOCK_MONOTONIC HAVE_CONST_CLOCK_MONOTONIC_RAW HAVE_MAKE_PAIR
               HAVE_INOTIFY HAVE_INOTIFY_INIT].freeze
  # It asks OpenSSL for its version even where it is built without.
  NO_OPENSSL = ["OPENSSL_VERSION_TEXT=\"none\"", "SSLEAY_VERSION=0",
                "SSLeay_version(x)=\"none\""].freeze

  def initialize(platform, ruby, toolchain:, directory:)
    @platform = platform
    @ruby = ruby
    @toolchain = toolchain
    @directory = directory
  end

  # Builds it, and answers the directory for GEM_PATH.
  def build
    gems = File.join(@directory, "eventmachine-#{@ruby}-#{@platform.debian}")
    return gems if Dir.exist?(gems)

    building = "#{gems}.new"
    FileUtils.rm_rf(building)
    library = File.join(building, "gems/eventmachine-#{VERSION}/lib")
    FileUtils.mkdir_p([File.dirname(library), File.join(building, "specifications")])
    FileUtils.cp_r(File.join(source, "lib"), library)
    compile(File.join(library, "rubyeventmachine.so"))
    File.write(File.join(building, "specifications/eventmachine-#{VERSION}.gemspec"), gemspec)
    File.rename(building, gems)
    gems
  end

  private

  def compile(into)
    quietly "EventMachine", @toolchain.zig, "c++", "-target", @platform.zig, "-shared", "-fPIC",
            "-O2", "-fno-sanitize=all", *[*DEFINES, *NO_OPENSSL].map { |name| "-D#{name}" },
            *headers.map { |path| "-I#{path}" }, *Dir[File.join(source, "ext/*.cpp")], "-o", into,
            env: @toolchain.environment(@platform)
  end

  def gemspec
    Gem::Specification.new do |spec|
      spec.name = "eventmachine"
      spec.version = VERSION
      spec.authors = ["its authors"]
      spec.summary = "EventMachine, without TLS"
    end.to_ruby
  end

  def headers
    include = File.join(@directory, "ruby-#{@ruby}-#{@platform.debian}", "usr/include")
    [File.join(include, "ruby-#{@ruby}.0"), File.join(include, @platform.zig, "ruby-#{@ruby}.0")]
  end

  def source
    @source ||= File.join(@directory, "eventmachine-source").tap do |source|
      next if Dir.exist?(source)

      apt = File.join(@directory, "apt/trixie-source")
      Debian.new(apt, Debian.suites("trixie"), @platform.debian)
            .unpack_source(source, "ruby-eventmachine")
    end
  end
end
