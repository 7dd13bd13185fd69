# frozen_string_literal: true

require "digest"
require "tmpdir"
require_relative "../ext/em_websocket_rs/bindings"
require_relative "checkout"
require_relative "echo_probe"
require_relative "native/bindings"

# The gem as a stranger gets it: built, installed into an empty GEM_HOME and used from there.
class PackageSmoke
  # The library is 4.5 MiB, most of it TLS, and a fifth of it Redis. RubyGems keeps it in the gem's
  # lib/ and among its extensions; ext/once makes one file of both. Bindings take 0.2 MiB for each
  # version of Ruby.
  LIMIT = 7 * 1024 * 1024

  def initialize(directory)
    @directory = directory
    @home = File.join(directory, "home")
    @env = { "GEM_HOME" => @home, "GEM_PATH" => nil, "RUBYLIB" => nil, "RUBYOPT" => nil,
             "CARGO_TARGET_DIR" => nil }
  end

  def run
    @root = Checkout.copy(Dir.pwd, File.join(@directory, "tree"))
    add_bindings
    build_and_install("em-websocket-rs.gemspec")
    measure
    echo("em-websocket-rs")
    build_and_install("compat/em-websocket.gemspec")
    echo("em-websocket,~> 0.5.3")
  end

  private

  # As a released gem has them: then nothing asks for libclang. Where they can be for this Ruby,
  # `rake compile` has had them generated.
  def add_bindings
    name = Bindings.variant(Bindings.host(Cargo.find).to_s)
    return unless name

    RubyBindings.of_build(File.join(TARGET_DIRECTORY, "release")).write(@root, name)
    @env["LIBCLANG_PATH"] = "/nonexistent"
  end

  def build_and_install(gemspec)
    package = File.join(@directory, "#{File.basename(gemspec, ".gemspec")}.gem")
    quietly "gem build", "gem", "build", File.basename(gemspec), "--output", package,
            env: @env, chdir: File.join(@root, File.dirname(gemspec))
    quietly "gem install", "gem", "install", "--local", "--no-document", package,
            env: @env, chdir: @directory
  end

  def measure
    files = Dir.glob("#{@home}/**/*", File::FNM_DOTMATCH).select { |path| File.file?(path) }
    size = files.uniq { |path| File.stat(path).ino }.sum { |path| File.size(path) }
    built = files.grep(%r{/target/})
    abort "package: left behind #{built.first(3).join(" ")}" if built.any?
    abort "package: #{size} bytes are installed, more than #{LIMIT}" if size > LIMIT
    puts format("%-20<title>s %6.1<size>f MiB", title: "installed", size: size / 1024.0 / 1024)
  end

  def echo(activate)
    EchoProbe.run([RbConfig.ruby], activate, env: @env, chdir: @directory)
    puts "#{activate} echoes"
  end
end

# Compiling everything anew takes minutes, so what has passed is not tried again until it differs.
PASSED = "tmp/package-passed"

def package_digest
  packed = FileList["Cargo.{toml,lock}", "{src,ext,lib,sig,docs}/**/*", "*.{md,gemspec}", "LICENSE",
                    "compat/*", __FILE__]
  contents = packed.exclude("**/*.so").select { |path| File.file?(path) }.sort.map do |path|
    [path, Digest::SHA256.file(path).hexdigest]
  end
  Digest::SHA256.hexdigest([RUBY_DESCRIPTION, `"#{Cargo.find}" --version`, contents].inspect)
end

namespace :package do
  desc "Build both gems, install them into an empty GEM_HOME, and echo one message"
  task smoke: :compile do
    digest = package_digest
    if File.exist?(PASSED) && File.read(PASSED) == digest
      puts "the package is as it was when it last passed"
      next
    end

    Dir.mktmpdir("package") { |directory| PackageSmoke.new(directory).run }
    mkdir_p(File.dirname(PASSED), verbose: false)
    File.write(PASSED, digest)
  end
end
