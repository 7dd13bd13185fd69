# frozen_string_literal: true

require "fileutils"
require "open3"

# Debian's packages of another suite or architecture, unpacked into a directory: nothing of the
# machine's own apt and dpkg is changed.
class Debian
  # Its message says what is missing and what to do.
  class Unavailable < StandardError; end

  KEYRINGS = "/usr/share/keyrings/debian-archive-keyring.{pgp,gpg}"

  class << self
    # Lines of a sources.list for these suites, from where this machine has its own packages.
    def suites(*names)
      mirror, = targets("$(REPO_URI)").first
      names.map { |suite| [mirror, suite] }
    end

    # Those of this machine itself.
    def own_suites = targets("$(REPO_URI) $(RELEASE)")

    private

    def targets(format)
      command = ["apt-get", "indextargets", "--format", format,
                 "Created-By: Packages", "Origin: Debian", "Component: main"]
      lines, status = Open3.capture2(*command, err: File::NULL)
      return lines.lines(chomp: true).uniq.map(&:split) if status.success? && !lines.empty?

      raise Unavailable, "apt knows no package of Debian's: is this Debian, and was `apt-get " \
                         "update` run?"
    rescue Errno::ENOENT
      raise Unavailable, "there is no apt-get: native gems are built on Debian 12 or 13"
    end
  end

  # @param directory [String] where apt's lists and the packages are kept
  # @param sources [Array<(String, String)>] address and suite, see {suites}
  # @param architecture [String] as Debian calls it
  def initialize(directory, sources, architecture)
    @directory = File.expand_path(directory)
    @architecture = architecture
    @configuration = File.join(@directory, "apt.conf")
    write_configuration(sources)
  end

  # Unpacks these packages, and with `dependencies` whatever they need, down to libc.
  def unpack(into, *packages, dependencies: false)
    Dir[File.join(@directory, "archives", "*.deb")].each { |package| File.delete(package) }
    update
    fetch(packages, dependencies)
    FileUtils.mkdir_p(into)
    Dir[File.join(@directory, "archives", "*.deb")].each { |deb| run("dpkg-deb", "-x", deb, into) }
  end

  # Unpacks what a package is made from, as its authors have it.
  def unpack_source(into, name)
    archives = File.join(@directory, "archives")
    update
    run("apt-get", "source", "--download-only", "--tar-only", name, chdir: archives)
    FileUtils.mkdir_p(into)
    run("tar", "-xf", Dir[File.join(archives, "#{name}_*.orig.tar.*")].first, "-C", into,
        "--strip-components=1")
  end

  private

  def fetch(packages, dependencies)
    archives = File.join(@directory, "archives")
    return run("apt-get", "download", *qualified(packages), chdir: archives) unless dependencies

    run("apt-get", "install", "--download-only", "--yes", "--no-install-recommends",
        *qualified(packages))
  end

  def qualified(packages) = packages.map { |name| name.sub(/(?==|\z)/, ":#{@architecture}") }

  def update
    return if Dir[File.join(@directory, "lists", "*_Packages*")].any?

    run("apt-get", "update", "--quiet")
  end

  def run(*command, **options)
    output, status = Open3.capture2e({ "APT_CONFIG" => @configuration, "LC_ALL" => "C.UTF-8" },
                                     *command, **options)
    return output if status.success?

    raise Unavailable, "#{command.join(" ")} failed:\n#{output}"
  end

  def write_configuration(sources)
    %w[lists/partial archives/partial].each do |name|
      FileUtils.mkdir_p(File.join(@directory, name))
    end
    keyring, = Dir[KEYRINGS]
    raise Unavailable, "there is no debian-archive-keyring" unless keyring

    lines = sources.product(%w[deb deb-src]).map do |(address, suite), kind|
      "#{kind} [signed-by=#{keyring}] #{address} #{suite} main\n"
    end
    File.write(File.join(@directory, "sources.list"), lines.join)
    FileUtils.touch(File.join(@directory, "status"))
    File.write(@configuration, configuration)
  end

  def configuration
    <<~CONF
      APT::Architecture "#{@architecture}";
      APT::Architectures { "#{@architecture}"; };
      APT::Sandbox::User "root";
      Acquire::Languages "none";
      Acquire::IndexTargets::deb::DEP-11::DefaultEnabled "false";
      Dir::Etc::sourcelist "#{@directory}/sources.list";
      Dir::Etc::sourceparts "-";
      Dir::Etc::preferencesparts "-";
      Dir::State::status "#{@directory}/status";
      Dir::State::lists "#{@directory}/lists";
      Dir::Cache "#{@directory}";
      Dir::Cache::archives "#{@directory}/archives";
    CONF
  end
end
