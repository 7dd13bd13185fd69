# frozen_string_literal: true

require "digest"
require "fileutils"
require "open3"
require "rubygems/package"
require "tmpdir"
require_relative "../checkout"

# A native gem, built again from a copy of the working tree: in another directory, of another name
# for Cargo's home, with another umask and in another time zone. What is downloaded is not again.
class NativeAgain
  # Its message says what differs.
  class Difference < StandardError; end

  # Files that are made while building, and must be made anew.
  MADE = %w[lib target zig-cache].freeze

  # @param root [String] the working tree
  # @param directory [String] what is fetched for native gems, see NATIVE_DIRECTORY
  def initialize(root, directory)
    @root = root
    @directory = File.expand_path(directory)
  end

  # @param first [String] the gem as it was built in the working tree
  # @raise [Difference] where the other one has other bytes, or its bill of materials has
  def compare(first, platform)
    Dir.mktmpdir("built-again") do |place|
      tree = File.join(place, "elsewhere", "tree")
      Checkout.copy(@root, tree)
      build(tree, place, platform)
      [first, first.sub(/\.gem\z/, ".cdx.json")].each do |path|
        again = File.join(tree, "pkg", File.basename(path))
        next if FileUtils.identical?(path, again)

        raise Difference, "#{File.basename(path)} differs: #{differences(path, again).join(", ")}"
      end
    end
  end

  private

  def build(tree, place, platform)
    environment = { "NATIVE_DIRECTORY" => linked(@directory, File.join(place, "native")),
                    "CARGO_HOME" => linked(cargo_home, File.join(place, "cargo")),
                    "TZ" => "Pacific/Auckland" }
    output, status = Open3.capture2e(environment, "rake", "native:#{platform}", chdir: tree,
                                                                                umask: 0o077)
    raise Difference, "it could not be built again:\n#{output}" unless status.success?
  end

  def cargo_home = ENV.fetch("CARGO_HOME") { File.join(Dir.home, ".cargo") }

  # A directory of links to what another one has.
  def linked(from, into)
    FileUtils.mkdir_p(into)
    (Dir.children(from) - MADE).each do |name|
      File.symlink(File.join(from, name), File.join(into, name))
    end
    into
  end

  # Names of the files that differ, where gems do.
  def differences(path, other)
    return ["the file itself"] unless path.end_with?(".gem")

    first, second = [path, other].map { |gem| digests(gem) }
    changed = (first.keys | second.keys).reject { |name| first[name] == second[name] }
    changed.empty? ? ["its metadata"] : changed
  end

  def digests(gem)
    Dir.mktmpdir do |directory|
      Gem::Package.new(gem).extract_files(directory)
      Dir.glob("**/*", base: directory).to_h do |name|
        path = File.join(directory, name)
        [name, File.file?(path) && [Digest::SHA256.file(path).hexdigest, File.stat(path).mode]]
      end
    end
  end
end
