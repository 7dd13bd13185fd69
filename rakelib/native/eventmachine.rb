# frozen_string_literal: true

require "fileutils"
require_relative "debian"

# EventMachine without TLS, from Debian's source, for a platform and a version of Ruby for which
# Debian has no package of it: enough to try a native gem with.
class CrossEventMachine
  DEFINES = %w[BUILD_FOR_RUBY OS_UNIX WITHOUT_SSL IS_RUBY_3_OR_LATER HAVE_RB_FDSET_T
               HAVE_RB_WAIT_FOR_SINGLE_FD HAVE_RB_THREAD_FD_SELECT HAVE_EPOLL HAVE_EPOLL_CREATE1
               HAVE_WRITEV HAVE_PIPE2 HAVE_ACCEPT4 HAVE_CONST_SOCK_CLOEXEC HAVE_CLOCK_GETTIME
               HAVE_CONST_CLOCK_MONOTONIC HAVE_CONST_CLOCK_MONOTONIC_RAW HAVE_MAKE_PAIR
               HAVE_INOTIFY HAVE_INOTIFY_INIT].freeze

  def initialize(platform, ruby, toolchain:, directory:)
    @platform = platform
    @ruby = ruby
    @toolchain = toolchain
    @directory = directory
  end

  # Builds it, and answers the directory for the load path.
  def build
    library = File.join(@directory, "eventmachine-#{@ruby}-#{@platform.debian}")
    return library if Dir.exist?(library)

    building = "#{library}.new"
    FileUtils.rm_rf(building)
    FileUtils.cp_r(File.join(source, "lib"), building)
    quietly "EventMachine", @toolchain.zig, "c++", "-target", @platform.zig, "-shared", "-fPIC",
            "-O2", "-fno-sanitize=all",
            *DEFINES.map { |name| "-D#{name}" }, *headers.map { |path| "-I#{path}" },
            *Dir[File.join(source, "ext/*.cpp")], "-o", File.join(building, "rubyeventmachine.so"),
            env: @toolchain.environment(@platform)
    File.rename(building, library)
    library
  end

  private

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
