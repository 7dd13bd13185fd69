# frozen_string_literal: true

require "fileutils"
require "open3"
require "tmpdir"
require "rubygems/package"
require_relative "../apps/program"
require_relative "../../rakelib/echo_probe"
require_relative "../../rakelib/native/package"

# A gem with what `rake compile` has built in it, for this machine: how native gems are made and
# installed, without the minutes that building for other machines takes (`rake native`).
RSpec.describe NativeGem, :extension, timeout: 60 do
  version = RUBY_VERSION[/\A\d+\.\d+/]
  local = Gem::Platform.local
  here = NativePlatform::ALL.find { |one| Gem::Platform.new(one.gem).cpu == local.cpu }

  around do |example|
    Dir.mktmpdir("native") do |directory|
      @directory = directory
      example.run
    end
  end

  # Builds a gem; __FILE__ stands for a library where none is loaded: the real one takes seconds to
  # compress.
  def build(platform, library: __FILE__, root: Program::ROOT, into: "gems")
    libraries = { RUBY_VERSION[/\A\d+\.\d+/] => library, "2.7" => __FILE__ }
    described_class.new(root, platform, libraries, "LICENSES-OF-CRATES.txt" => "texts\n")
                   .build(File.join(@directory, into))
  end

  def copy_of_this_tree
    copy = File.join(@directory, "other tree")
    FileUtils.mkdir(copy)
    listed = Dir.glob(["*.{md,gemspec,toml,lock}", "LICENSE", "{lib,sig,docs,src,ext}/"],
                      base: Program::ROOT)
    FileUtils.cp_r(listed.map { |name| File.join(Program::ROOT, name) }, copy)
    FileUtils.chmod_R("go-rwx", copy)
    copy
  end

  # A second gemspec defines the version again.
  def quietly
    before = $VERBOSE
    $VERBOSE = nil
    yield
  ensure
    $VERBOSE = before
  end

  # Ruby and nothing else: no cargo, no compiler, no make.
  def environment
    { "PATH" => "/nonexistent", "HOME" => @directory, "GEM_HOME" => File.join(@directory, "home"),
      "GEM_PATH" => nil, "RUBYOPT" => nil, "RUBYLIB" => nil, "BUNDLE_GEMFILE" => nil }
  end

  def gem(*arguments)
    program = File.join(RbConfig::CONFIG["bindir"], Gem.default_exec_format % "gem")
    Open3.capture2e(environment, RbConfig.ruby, program, *arguments)
  end

  it "holds a library for each version of Ruby, and nothing to be built" do
    spec = Gem::Package.new(build(here)).spec

    expect(spec.platform.to_s).to eq(here.gem)
    expect(spec.extensions).to be_empty
    expect(spec.files).to include("lib/em-websocket/#{version}/em_websocket_rs.so",
                                  "lib/em-websocket/2.7/em_websocket_rs.so", "lib/em-websocket.rb",
                                  "LICENSE", "LICENSES-OF-CRATES.txt")
    expect(spec.files.grep(/\.rs\z|Cargo/)).to be_empty
  end

  it "is for the versions of Ruby that it holds a library for, and no others" do
    requirement = Gem::Package.new(build(here)).spec.required_ruby_version
    suits = ->(ruby) { requirement.satisfied_by?(Gem::Version.new(ruby)) }

    expect(%w[3.1.0 3.1.7 3.3.0 3.3.11 3.4.1 3.4.11].reject(&suits)).to be_empty
    expect(%w[2.7.8 3.0.7 3.2.0 3.2.11 3.5.0 3.5.0.preview1 4.0.0].select(&suits)).to be_empty
  end

  it "has the same bytes when another directory, clock and umask built it" do
    first = build(here)
    other = copy_of_this_tree
    before = File.umask(0o077)
    sleep(1.1 - (Time.now.to_f % 1)) # RubyGems counts in seconds.
    second = quietly { build(here, root: other, into: "again") }

    expect(File.binread(second) == File.binread(first)).to be(true)
  ensure
    File.umask(before) if before
  end

  it "is installed where there is no compiler, once on disk, and echoes" do
    library = File.join(Program::LIBRARY, "em-websocket", "em_websocket_rs.so")
    output, status = gem("install", "--local", "--no-document", "--ignore-dependencies",
                         build(here, library: library))
    expect(status).to be_success, output
    libraries = Dir[File.join(@directory, "home", "{gems,extensions}", "**", "*.so")]
    expect(libraries.map { |path| path[%r{[^/]+/[^/]+\z}] })
      .to contain_exactly("#{version}/em_websocket_rs.so", "2.7/em_websocket_rs.so")

    expect { EchoProbe.run([RbConfig.ruby], "em-websocket-rs", env: environment) }
      .not_to raise_error
  end
end
