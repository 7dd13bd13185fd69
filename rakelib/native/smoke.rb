# frozen_string_literal: true

require "open3"
require "tmpdir"
require_relative "../echo_probe"
require_relative "debian"
require_relative "eventmachine"
require_relative "platform"

# A native gem as its users get it: installed by Debian's Ruby of a version and platform, where
# there is no compiler, no cargo and no libclang, and used from there. qemu runs that Ruby.
class NativeSmoke
  # Its message says what went wrong.
  class Failure < StandardError; end

  # qemu is thirty times slower than the processor.
  WITHIN = 120
  # Compressed. TLS to Redis, and Redis, are a fifth of it.
  LIBRARY_LIMIT = 9 * 256 * 1024
  SYMBOL = /GLIBC_(\d+\.\d+(?:\.\d+)?)/

  def initialize(platform, ruby, package, toolchain:, directory:)
    @platform = platform
    @ruby = ruby
    @package = File.expand_path(package)
    @toolchain = toolchain
    @directory = File.expand_path(directory)
  end

  def run
    Dir.mktmpdir("native") do |home|
      env = environment(home)
      install(env)
      check(Dir["#{home}/gems/*/lib/em-websocket/*/em_websocket_rs.so"])
      EchoProbe.run(command, "em-websocket-rs", env: env, within: WITHIN, chdir: home,
                                                unsetenv_others: true)
    end
    puts "#{@platform} on Ruby #{@ruby}: installed without a compiler, echoes"
  end

  private

  def command = [qemu, "-L", root, File.join(root, "usr/bin/ruby#{@ruby}")]

  def qemu
    name = "qemu-#{@platform.rust[/\A[^-]+/]}-static"
    found = ENV["PATH"].split(File::PATH_SEPARATOR).map { |path| File.join(path, name) }
                       .find { |path| File.executable?(path) }
    found or raise Failure, "there is no #{name} (Debian has it in qemu-user-static)"
  end

  def environment(home)
    { "PATH" => File.join(home, "bin"), "HOME" => home, "GEM_HOME" => home, "LC_ALL" => "C.UTF-8" }
      .merge(eventmachine)
  end

  def install(env)
    output, status = Open3.capture2e(env, *command, "/usr/bin/gem#{@ruby}", "install", "--local",
                                     "--no-document", "--ignore-dependencies", @package,
                                     unsetenv_others: true)
    raise Failure, "gem install failed: #{output}" unless status.success?
  end

  def check(libraries)
    raise Failure, "no library was installed" if libraries.empty?

    newest = libraries.flat_map { |path| symbols(path) }.max
    return if newest <= Gem::Version.new(NativePlatform::GLIBC)

    raise Failure, "the libraries need glibc #{newest}"
  end

  def symbols(path)
    # Versions are kept as names: no objdump for every platform is needed.
    File.binread(path).scan(SYMBOL).flatten.map { |version| Gem::Version.new(version) }
  end

  def root
    @root ||= File.join(@directory, "root-#{@ruby}-#{@platform.debian}").tap do |root|
      next if Dir.exist?(root)

      apt = File.join(@directory, "apt/#{@ruby.suites.last}-#{@platform.debian}")
      Debian.new(apt, Debian.suites(*@ruby.suites), @platform.debian)
            .unpack(root, "ruby#{@ruby}", "ruby-rubygems", *packaged, dependencies: true)
      merge_usr(root)
    end
  end

  def packaged = @ruby.eventmachine ? %w[ruby-eventmachine] : []

  # Debian 13 has libraries in usr only, and expects this of whoever made the directory.
  def merge_usr(root)
    %w[lib lib64].each do |name|
      next if File.exist?(File.join(root, name)) || !Dir.exist?(File.join(root, "usr", name))

      File.symlink("usr/#{name}", File.join(root, name))
    end
  end

  # EventMachine, built of its source where Debian has none for this Ruby.
  def eventmachine
    return {} if @ruby.eventmachine

    built = CrossEventMachine.new(@platform, @ruby, toolchain: @toolchain, directory: @directory)
    { "GEM_PATH" => built.build }
  end
end
