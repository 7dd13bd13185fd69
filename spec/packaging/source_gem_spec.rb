# frozen_string_literal: true

require "fileutils"
require "open3"
require "tmpdir"
require "rubygems/package"
require_relative "../apps/program"
require_relative "../../rakelib/echo_probe"
require_relative "../../rakelib/native/bindings"
require_relative "../../rakelib/native/package"
require_relative "../../ext/em_websocket_rs/bindings"
require_relative "../../ext/em_websocket_rs/cargo"

# The gem that is built where it is installed, with a stand-in for Cargo: building takes minutes,
# and `rake package:smoke` does it.
RSpec.describe "the source gem", :extension, timeout: 60 do
  # Programs that the build needs besides Cargo, or there is no gem of any kind.
  programs = %w[sh make cmp cp ln mkdir mv rm]
  built = File.join(Program::LIBRARY, "em-websocket", "em_websocket_rs.so")

  around do |example|
    Dir.mktmpdir("source") do |directory|
      @directory = directory
      FileUtils.mkdir(bin)
      programs.each { |name| FileUtils.ln_s(program(name), File.join(bin, name)) }
      example.run
    end
  end

  before(:all) do
    @gems = Dir.mktmpdir("gem")
    name = Bindings.variant("#{RbConfig::CONFIG["host_cpu"]}-unknown-linux-gnu")
    texts = name ? RubyBindings.files([name]).to_h { |path| [path, "# generated\n"] } : {}
    @gem = ReproducibleGem.new(Program::ROOT, texts).build(@gems)
  end

  after(:all) { FileUtils.rm_rf(@gems) }

  # File that a stand-in for Cargo writes its arguments to.
  def arguments = File.join(@directory, "arguments")

  def bin = File.join(@directory, "bin")

  def home = File.join(@directory, "home")

  def program(name)
    ENV["PATH"].split(":").map { |path| File.join(path, name) }.find { |path| File.exist?(path) }
  end

  # A Cargo that does this when it builds.
  def fake_cargo(build, version: "1.95.0")
    path = File.join(bin, "cargo")
    File.write(path, <<~SH)
      #!/bin/sh
      case $1 in
        --version) echo "cargo #{version} (0123456789 2026-01-01)" ;;
        -vV) echo "host: #{RbConfig::CONFIG["host_cpu"]}-unknown-linux-gnu" ;;
        build) echo "$*" >'#{arguments}'; #{build} ;;
      esac
    SH
    File.chmod(0o755, path)
  end

  # A Cargo that builds what `rake compile` has built here.
  def good_cargo(library)
    fake_cargo("mkdir -p target/release; cp '#{library}' target/release/libem_websocket_rs.so")
  end

  # Output of the build, and its status, when Cargo fails with these words among others.
  def build_failing_with(words)
    said = File.join(@directory, "words")
    File.write(said, "   Compiling libc v0.2.1\n#{words}\nand more\n")
    build = File.join(Program::ROOT, "ext", "em_websocket_rs", "build.rb")
    Open3.capture2e(RbConfig.ruby, build, "sh", "-c", "cat '#{said}' >&2; exit 101")
  end

  def environment
    { "PATH" => bin, "HOME" => @directory, "GEM_HOME" => home, "GEM_PATH" => nil, "CARGO" => nil,
      "CARGO_HOME" => File.join(@directory, "cargo"), "LC_ALL" => "C.UTF-8",
      "RUBYOPT" => nil, "RUBYLIB" => nil, "BUNDLE_GEMFILE" => nil }
  end

  def install(*options)
    command = File.join(RbConfig::CONFIG["bindir"], Gem.default_exec_format % "gem")
    Open3.capture2e(environment, RbConfig.ruby, command, "install", "--local", "--no-document",
                    "--ignore-dependencies", @gem, *options)
  end

  # By what they are inside the directory for gems.
  def libraries = Dir[File.join(home, "{gems,extensions}", "**", "*.so")]

  it "is installed with its library once on disk, and echoes" do
    good_cargo(built)
    output, status = install
    expect(status).to be_success, output
    expect(libraries.map { |path| path[home.size..].split("/")[1] })
      .to contain_exactly("gems", "extensions")
    expect(libraries.map { |path| File.stat(path).ino }.uniq.size).to eq(1)
    expect(Dir[File.join(home, "gems/*/ext/**/{Makefile,target}")].grep(/once|target/)).to be_empty

    expect { EchoProbe.run([RbConfig.ruby], "em-websocket-rs", env: environment) }
      .not_to raise_error
  end

  it "is installed with its library twice where two names for one file cannot be" do
    FileUtils.rm(File.join(bin, "ln"))
    File.write(File.join(bin, "ln"), "#!/bin/sh\nexit 1\n")
    File.chmod(0o755, File.join(bin, "ln"))
    good_cargo(built)
    output, status = install

    expect(status).to be_success, output
    expect(libraries.map { |path| File.stat(path).ino }.uniq.size).to eq(2)
    expect(libraries.map { |path| FileUtils.identical?(path, built) }).to eq([true, true])
  end

  it "needs no libclang for a Ruby whose bindings it has, and is told where it shall be used" do
    unless Bindings.variant("#{RbConfig::CONFIG["host_cpu"]}-unknown-linux-gnu")
      skip("this Ruby is configured as no released gem has bindings for")
    end
    good_cargo(__FILE__)

    expect(install.last).to be_success
    expect(File.read(arguments)).to include("--config bindings.toml")
    expect(install("--", "--with-libclang").last).to be_success
    expect(File.read(arguments)).not_to include("--config")
  end

  it "says which Rust it needs, and where it is to be had, without cargo" do
    output, status = install

    expect(status).not_to be_success
    expect(output).to include("built with Rust #{Cargo::MINIMUM} or newer, and no cargo was found")
      .and include("cargo-web and rustc-web")
  end

  it "says which Rust it needs, and which there is, with an old cargo" do
    fake_cargo("exit 1", version: "1.63.0")
    output, status = install

    expect(status).not_to be_success
    expect(output).to include("Rust #{Cargo::MINIMUM} or newer, and #{bin}/cargo is 1.63.0")
  end

  {
    "libclang" => ["Unable to find libclang: \"couldn't find any valid shared libraries " \
                   "matching: ['libclang.so', 'libclang-*.so']\"", /libclang is missing/],
    "a network" => ["warning: spurious network error (3 tries remaining): [6] Couldn't resolve " \
                    "host name", /crates could not be downloaded/],
    "a registry that answers" => ["error: failed to download `libc v0.2.1`",
                                  /crates could not be downloaded/],
    "room on the disk" => ["error: failed to write `target/x`: No space left on device (os " \
                           "error 28)", /The disk is full/],
    "a whole download" => ["error: failed to verify the checksum of `libc v0.2.1`",
                           /A crate that was downloaded is broken/],
    "a C compiler" => ["error: linker `cc` not found", /The C compiler is missing/],
    "Ruby's headers" => ["wrapper.h:1:10: fatal error: 'ruby.h' file not found",
                         /Ruby's headers are missing/],
    "the C library's headers" => ["ruby.h:1:10: fatal error: 'stdbool.h' file not found",
                                  /C library's headers are missing/],
    "memory" => ["process didn't exit successfully: `rustc` (signal: 9, SIGKILL: kill)",
                 /not enough memory/],
    "a rustc as new as cargo" => ["error: rustc 1.63.0 is not supported by these packages:",
                                  /rustc is older than Cargo/]
  }.each do |what, (words, sentence)|
    it "says so in its last words where the build fails for want of #{what}" do
      output, status = build_failing_with(words)

      expect(status).not_to be_success
      expect(output).to include(words)
      expect(output[/^em-websocket-rs was not built\..*\n\z/]).to match(sentence)
    end
  end

  it "says that the reason is above where it knows none, and RubyGems shows it" do
    fake_cargo("echo 'error[E0425]: cannot find value `x`' >&2; exit 101")
    output, status = install

    expect(status).not_to be_success
    expect(output).to include("E0425").and include("em-websocket-rs was not built. Above is why.")
  end
end
