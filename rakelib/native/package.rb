# frozen_string_literal: true

require "fileutils"
require "rubygems/package"
require "tmpdir"
require_relative "platform"

# A gem of this working tree whose bytes depend on its contents and nothing else: not on the
# directory, the clock or the umask.
class ReproducibleGem
  # @param root [String] the working tree
  # @param files [Hash{String => String}] what else it has: by name, the text
  def initialize(root, files = {})
    @root = root
    @texts = files
  end

  # @param into [String] the directory for the gem
  # @return [String] where the gem is
  def build(into)
    FileUtils.mkdir_p(into)
    at_date do
      spec = specification
      Dir.mktmpdir("gem") do |stage|
        lay(stage, spec)
        built = Dir.chdir(stage) { silently { Gem::Package.build(spec) } }
        FileUtils.mv(File.join(stage, built), into)
        File.join(into, built)
      end
    end
  end

  private

  def specification
    # RubyGems keeps what it has loaded by its path.
    Gem::Specification.load(File.join(@root, "em-websocket-rs.gemspec")).dup
                      .tap { |spec| spec.files |= @texts.keys }
  end

  def silently(&build)
    Gem::DefaultUserInteraction.use_ui(Gem::SilentUI.new, &build)
  end

  def lay(stage, spec)
    @texts.each do |name, text|
      FileUtils.mkdir_p(File.dirname(File.join(stage, name)), mode: 0o755)
      File.write(File.join(stage, name), text)
      File.chmod(0o644, File.join(stage, name))
    end
    written(spec).each { |name| put(stage, name, File.join(@root, name)) }
  end

  # Files that are the working tree's.
  def written(spec) = spec.files - @texts.keys

  def put(stage, name, from)
    target = File.join(stage, name)
    FileUtils.mkdir_p(File.dirname(target), mode: 0o755)
    FileUtils.install(from, target, mode: name.end_with?(".so") ? 0o755 : 0o644)
  end

  # RubyGems reads its clock from here. The date is the version's, in the changelog.
  def at_date
    before = ENV.fetch("SOURCE_DATE_EPOCH", nil)
    ENV["SOURCE_DATE_EPOCH"] = before || epoch
    yield
  ensure
    ENV["SOURCE_DATE_EPOCH"] = before
  end

  def epoch
    date = File.read(File.join(@root, "CHANGELOG.md"))[/^## \[\d\S*\] - (\d{4}-\d\d-\d\d)/, 1]
    Time.utc(*(date || "2000-01-01").split("-")).to_i.to_s
  end
end

# A gem with the extension in it, for one platform and several versions of Ruby.
class NativeGem < ReproducibleGem
  # @param platform [NativePlatform]
  # @param libraries [Hash{String => String}] by version of Ruby, where the extension is
  # @param files [Hash{String => String}] what else it has: by name, the text
  def initialize(root, platform, libraries, files = {})
    super(root, files)
    @platform = platform
    @libraries = libraries
  end

  private

  def specification
    super.tap do |spec|
      spec.platform = @platform.gem
      spec.extensions = []
      spec.required_ruby_version = NativeRuby::REQUIREMENT
      spec.files = spec.files.grep_v(SOURCE) + built
    end
  end

  # Sources that the extension is built from.
  SOURCE = %r{\A(?:Cargo\.|src/|ext/)}
  private_constant :SOURCE

  def built = @libraries.keys.map { |version| place(version) }

  def place(version) = "lib/em-websocket/#{version}/em_websocket_rs.so"

  def lay(stage, spec)
    super
    @libraries.each { |version, path| put(stage, place(version), path) }
  end

  def written(spec) = super - built
end
