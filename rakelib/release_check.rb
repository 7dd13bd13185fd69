# frozen_string_literal: true

require "date"
require "digest"
require "json"
require "open3"
require "rubygems/package"
require_relative "native/package"
require_relative "native/smoke"

# Conditions on a working tree, and on the native gems beside it, before its version is
# published. Each question answers with complaints, and none is where all is well.
class ReleaseCheck
  QUESTIONS = %i[versions changelog clean_tree source_gem gem_of_the_old_name native_gems].freeze

  # The package of a crate, and where README says what file to install.
  NAMED = {
    "Cargo.toml" => /^version = "(.+)"/, "ext/em_websocket_rs/Cargo.toml" => /^version = "(.+)"/,
    "Cargo.lock" => /^name = "em-websocket"\nversion = "(.+)"/,
    "README.md" => /em-websocket-rs-([\d.]+\w*)\.gem/
  }.freeze
  HEADING = /^## \[(.+?)\](?: - (\S+))?$/
  # Files that the source gem cannot do without, and those that must be in no gem.
  NEEDED = %w[LICENSE README.md CHANGELOG.md Cargo.toml Cargo.lock src/lib.rs lib/em-websocket.rb
              lib/em-websocket-rs.rb sig/em-websocket.rbs ext/once/configure
              ext/em_websocket_rs/extconf.rb ext/em_websocket_rs/cargo.rb
              ext/em_websocket_rs/bindings.rb ext/em_websocket_rs/build.rb
              ext/em_websocket_rs/Cargo.toml].freeze
  UNWANTED = %r{\.(?:so|bundle|orig|rej|pem|key)\z|/(?:tests|models|target)/|\A(?:spec|tmp|\.)}

  # @param root [String] the working tree
  # @param packages [String] where the native gems are
  # @param today [Date]
  def initialize(root, packages: File.join(root, "pkg"), today: Date.today)
    @root = root
    @packages = packages
    @today = today
  end

  # @return [Hash{Symbol => Array<String>}] what each question has to complain of
  def complaints = QUESTIONS.to_h { |question| [question, public_send(question)] }

  def version = read("lib/em-websocket/version.rb")[/VERSION = "(.+)"/, 1]

  # Complaints where two files name different versions.
  def versions
    NAMED.filter_map do |path, pattern|
      named = read(path)[pattern, 1]
      "#{path} says #{named.inspect}, and version.rb #{version.inspect}" unless named == version
    end
  end

  # The newest heading is the version's and has its day; nothing is left above it.
  def changelog
    text = read("CHANGELOG.md")
    unreleased, rest = text.split(/^(?=## \[#{Regexp.escape(version)}\])/, 2)
    return ["CHANGELOG.md has no heading for #{version}: ## [#{version}] - DATE"] unless rest

    complaints = []
    complaints << "CHANGELOG.md has entries above #{version}" if unreleased.match?(/^- /)
    complaints << "CHANGELOG.md says nothing of #{version}" unless entries(rest).match?(/^- /)
    complaints << date_complaint(rest[HEADING, 2])
    complaints.compact
  end

  # Everything is in git, and the version's tag is not elsewhere.
  def clean_tree
    changed = git("status", "--porcelain", "--untracked-files=all").lines(chomp: true)
    complaints = changed.map { |line| "not committed: #{line[3..]}" }
    tagged = git("rev-list", "-n1", "--ignore-missing", "v#{version}").chomp
    head = git("rev-parse", "HEAD").chomp
    return complaints if tagged.empty? || tagged == head

    complaints << "v#{version} is the tag of another commit, #{tagged[0, 10]}"
  end

  # It can be built, has all that it needs, and nothing that is not in git.
  def source_gem
    Dir.mktmpdir("release") do |directory|
      files = Gem::Package.new(ReproducibleGem.new(@root).build(directory)).contents
      contents_complaints("the source gem", files) +
        (NEEDED - files).map { |name| "the source gem lacks #{name}" } +
        (files - git("ls-files", "-z").split("\0")).map do |name|
          "the source gem has #{name}, which is not in git"
        end
    end
  rescue SystemCallError => e
    ["the source gem cannot be built: #{e.message}"]
  end

  # It can be built, and is nothing but its dependency on this version.
  def gem_of_the_old_name
    Dir.mktmpdir("release") do |directory|
      built = File.join(directory, "em-websocket.gem")
      output, status = Open3.capture2e("gem", "build", "em-websocket.gemspec", "--output", built,
                                       chdir: File.join(@root, "compat"))
      next ["em-websocket.gemspec cannot be built: #{output}"] unless status.success?

      ours = Gem::Package.new(built).spec.dependencies.find { |one| one.name == "em-websocket-rs" }
      next [] if ours&.requirement == Gem::Requirement.new("= #{version}")

      ["the gem em-websocket depends on em-websocket-rs #{ours&.requirement}, not #{version}"]
    end
  end

  # There is one of this very tree for each platform, with its bill of materials.
  def native_gems
    NativePlatform::ALL.flat_map do |platform|
      path = File.join(@packages, "em-websocket-rs-#{version}-#{platform}.gem")
      next ["#{path} is missing: rake native:#{platform}"] unless File.file?(path)

      Dir.mktmpdir("release") { |directory| native_complaints(path, directory) }
    rescue StandardError => e
      # RubyGems has an error of its own for some of it, and a NoMethodError for the rest.
      ["#{path} is broken: #{e.message}"]
    end
  end

  private

  def read(path) = File.read(File.join(@root, path), encoding: "UTF-8")

  def git(*arguments)
    output, status = Open3.capture2("git", *arguments, chdir: @root)
    raise "git #{arguments.first} failed" unless status.success?

    output
  end

  # When what native gems are built from was last committed.
  def last_change
    Time.at(git("log", "-1", "--format=%ct", "--", "src", "ext", "Cargo.toml", "Cargo.lock").to_i)
  end

  # Below the first heading, up to the next.
  def entries(text) = text.split(/^(?=## )/).first

  def date_complaint(date)
    day = Date.iso8601(date.to_s)
    "CHANGELOG.md says #{date}, a day that is still to come" if day > @today
  rescue Date::Error
    "CHANGELOG.md has no day for #{version} like 2026-01-31"
  end

  def contents_complaints(gem, files)
    files.grep(UNWANTED).grep_v(%r{\Alib/em-websocket/\d\.\d/}).map do |name|
      "#{gem} has #{name}"
    end
  end

  def native_complaints(path, directory)
    name = File.basename(path)
    package = Gem::Package.new(path)
    files = package.contents
    package.extract_files(directory)
    limit = NativeSmoke::LIBRARY_LIMIT * NativeRuby::ALL.size
    complaints = contents_complaints(name, files) + library_complaints(name, files) +
                 stale_complaints(name, files, directory) + bill_complaints(path)
    complaints << "#{name} is larger than #{limit} bytes" if File.size(path) > limit
    complaints << "#{name} is older than what it is built from" if File.mtime(path) < last_change
    complaints
  end

  def library_complaints(name, files)
    lacking = NativeRuby::ALL.map { |ruby| "lib/em-websocket/#{ruby}/em_websocket_rs.so" } +
              %w[LICENSE LICENSES-OF-CRATES.txt] - files
    lacking.map { |file| "#{name} lacks #{file}" }
  end

  # Files that are not as they are in the working tree: it was built of another one.
  def stale_complaints(name, files, directory)
    built = %r{\Alib/em-websocket/\d\.\d/|\ALICENSES-OF-CRATES}
    files.grep_v(built).filter_map do |file|
      here = File.join(@root, file)
      next if File.file?(here) && FileUtils.identical?(here, File.join(directory, file))

      "#{name} was built of another tree: #{file} differs"
    end.first(1)
  end

  def bill_complaints(path)
    bill = path.sub(/\.gem\z/, ".cdx.json")
    JSON.parse(File.read(bill)).fetch("bomFormat")
    []
  rescue Errno::ENOENT, JSON::ParserError, KeyError
    ["#{File.basename(bill)} is missing, or is no bill of materials"]
  end
end
