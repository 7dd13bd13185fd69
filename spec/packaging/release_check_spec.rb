# frozen_string_literal: true

require "fileutils"
require "open3"
require "tmpdir"
require_relative "../apps/program"
require_relative "../../rakelib/release_check"

# A working tree that can be released, and what is said where one thing about it is wrong.
RSpec.describe ReleaseCheck, :extension, timeout: 60 do
  version = EventMachine::Websocket::VERSION

  before(:all) do
    @kept = Dir.mktmpdir("release")
    tree = File.join(@kept, "tree")
    FileUtils.mkdir(tree)
    # A few files of each kind: the tree is copied for each example.
    Dir.glob(["*.{md,gemspec,toml,lock}", "LICENSE", "lib/*.rb", "lib/*/version.rb", "sig/*",
              "src/lib.rs", "ext/*/*", "compat/*"], base: Program::ROOT) { |name| put(name, tree) }
    File.write(File.join(tree, ".gitignore"), "pkg/\n/ext/em_websocket_rs/bindings/\n")
    RubyBindings::NAMES.each { |name| RubyBindings.new("", "").write(tree, name) }
    File.write(File.join(tree, "CHANGELOG.md"), <<~MARKDOWN)
      # Changelog

      ## [Unreleased]

      ## [#{version}] - 2026-01-31

      - All of it.
    MARKDOWN
    commit(tree)
    build_native_gems(tree)
  end

  after(:all) { FileUtils.rm_rf(@kept) }

  around do |example|
    Dir.mktmpdir("release") do |directory|
      @tree = File.join(directory, "tree")
      FileUtils.cp_r(File.join(@kept, "tree"), @tree, preserve: true)
      example.run
    end
  end

  def put(name, tree)
    source = File.join(Program::ROOT, name)
    return unless File.file?(source)

    FileUtils.mkdir_p(File.dirname(File.join(tree, name)))
    FileUtils.cp(source, File.join(tree, name))
  end

  def commit(tree)
    identity = %w[-c user.name=Nobody -c user.email=nobody@example.com -c commit.gpgsign=false]
    [%w[init --quiet], %w[add --all], %w[commit --quiet --message=All]].each do |command|
      output, status = Open3.capture2e("git", *identity, *command, chdir: tree)
      raise output unless status.success?
    end
  end

  # Gems with what stands for the libraries, that are never loaded.
  def build_native_gems(tree)
    libraries = NativeRuby::ALL.to_h { |ruby| [ruby.version, __FILE__] }
    NativePlatform::ALL.each do |platform|
      gem = NativeGem.new(tree, platform, libraries, "LICENSES-OF-CRATES.txt" => "texts\n")
      built = quietly { gem.build(File.join(tree, "pkg")) }
      File.write(built.sub(/\.gem\z/, ".cdx.json"), '{ "bomFormat": "CycloneDX" }')
    end
  end

  # Another tree's gemspec defines the version again.
  def quietly
    before = $VERBOSE
    $VERBOSE = nil
    yield
  ensure
    $VERBOSE = before
  end

  def path(name) = File.join(@tree, name)

  def change(name, part, other)
    text = File.read(path(name))
    raise "#{name} does not have #{part}" unless text.index(part)

    File.write(path(name), text.sub(part, other))
  end

  def complaints(*questions)
    check = described_class.new(@tree, today: Date.new(2026, 1, 31))
    quietly { questions.flat_map { |question| check.public_send(question) } }
  end

  it "has no complaint where all is well" do
    expect(complaints(*described_class::QUESTIONS)).to be_empty
  end

  {
    "a crate has another version" =>
      [:versions, -> { change("Cargo.toml", version, "9.9.9") }, /Cargo.toml says "9.9.9"/],
    "README names a file of another version" =>
      [:versions, -> { change("README.md", "-#{version}.gem", "-9.9.9.gem") }, /README.md says/],
    "the changelog does not have the version" =>
      [:changelog, -> { change("CHANGELOG.md", "[#{version}]", "[9.9.9]") },
       /no heading for #{version}/],
    "the changelog has entries that are not the version's" =>
      [:changelog, -> { change("CHANGELOG.md", "[Unreleased]\n", "[Unreleased]\n\n- More.\n") },
       /entries above/],
    "the changelog has no entries of the version" =>
      [:changelog, -> { change("CHANGELOG.md", "- All of it.\n", "") }, /says nothing of/],
    "the version has no day" =>
      [:changelog, -> { change("CHANGELOG.md", " - 2026-01-31", "") }, /has no day/],
    "the version's day is still to come" =>
      [:changelog, -> { change("CHANGELOG.md", "2026-01-31", "2026-02-01") }, /still to come/],
    "a file differs from what is committed" =>
      [:clean_tree, -> { change("README.md", "a", "b") }, /\Anot committed: README.md\z/],
    "a file is not committed" =>
      [:clean_tree, -> { File.write(path("new"), "") }, /\Anot committed: new\z/],
    "the version's tag is another commit's" =>
      [:clean_tree, lambda {
        system("git", "tag", "v#{version}", chdir: @tree)
        File.write(path("new"), "")
        commit(@tree)
      }, /is the tag of another commit/],
    "bindings for a Ruby are missing" =>
      [:bindings, -> { FileUtils.rm(path("ext/em_websocket_rs/bindings/3.3-aarch64-linux.rs")) },
       %r{bindings/3\.3-aarch64-linux\.rs is missing, or of another rb-sys: rake native:bindings}],
    "bindings are of another rb-sys" =>
      [:bindings, -> { change("Cargo.lock", /(?<=name = "rb-sys"\nversion = )".*"/, '"0.0.0"') },
       %r{bindings/3\.1-x86_64-linux\.toml is missing, or of another rb-sys}],
    "the gem would have a file that is not in git" =>
      [:source_gem, -> { File.write(path("lib/em-websocket/left.rb"), "") },
       %r{lib/em-websocket/left\.rb, which is not in git}],
    "the gem would lack a file" =>
      [:source_gem, -> { FileUtils.rm(path("LICENSE")) }, /lacks LICENSE/],
    "the gem cannot be built" =>
      [:source_gem, -> { FileUtils.rm(path("ext/once/configure")) },
       %r{cannot be built: .*ext/once/configure}],
    "the gem would have tests" =>
      [:source_gem, lambda {
        change("em-websocket-rs.gemspec", "Cargo.{toml,lock}", "ext/**/tests/*")
        FileUtils.mkdir(path("ext/once/tests"))
        File.write(path("ext/once/tests/a"), "")
      }, %r{the source gem has ext/once/tests/a\z}],
    "the gem of the old name is another version's" =>
      [:gem_of_the_old_name,
       -> { change("compat/em-websocket.gemspec", "EventMachine::Websocket::VERSION", '"9.9"') },
       /depends on em-websocket-rs = 9\.9/],
    "a native gem is missing" =>
      [:native_gems, -> { FileUtils.rm(path("pkg/em-websocket-rs-#{version}-x86_64-linux.gem")) },
       /x86_64-linux.gem is missing: rake native:x86_64-linux/],
    "a native gem is cut off" =>
      [:native_gems,
       -> { File.truncate(path("pkg/em-websocket-rs-#{version}-aarch64-linux.gem"), 5000) },
       /aarch64-linux.gem is broken/],
    "a native gem is of another tree" =>
      [:native_gems, -> { change("lib/em-websocket.rb", "#", "##") },
       %r{built of another tree: lib/em-websocket\.rb differs}],
    "a native gem is older than its source" =>
      [:native_gems, lambda {
        FileUtils.touch(Dir[path("pkg/*.gem")], mtime: Time.utc(2020))
      }, /is older than what it is built from/],
    "a native gem has no bill of materials" =>
      [:native_gems, -> { FileUtils.rm(Dir[path("pkg/*x86_64*.json")]) }, /no bill of materials/]
  }.each do |what, (question, break_it, complaint)|
    it "says so where #{what}" do
      instance_exec(&break_it)

      expect(complaints(question)).to include(complaint)
    end
  end
end
