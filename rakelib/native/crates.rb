# frozen_string_literal: true

require "digest"
require "json"
require "open3"
require "set"

# The crates that are part of the extension on a platform: their licences, and a bill of materials.
class Crates
  Crate = Struct.new(:name, :version, :license, :directory, :checksum, keyword_init: true) do
    def to_s = "#{name} #{version}"
  end

  LICENSE_FILES = /\A(?:LICEN[CS]E|COPYING|COPYRIGHT|NOTICE|UNLICENSE)/i

  # Parts that are linked in and are no crates of Cargo.lock.
  TOOLCHAIN = {
    "Rust's standard library" => "MIT OR Apache-2.0",
    "LLVM's libunwind and compiler-rt" => "Apache-2.0 WITH LLVM-exception"
  }.freeze

  # @param cargo [String] which Cargo to ask
  # @param target [String] as Rust calls the platform
  def initialize(root, cargo, target)
    @root = root
    @cargo = cargo
    @target = target
  end

  # All but this repository's own, by name and version.
  def all
    @all ||= begin
      linked = names_and_versions
      packages = metadata.fetch("packages").select do |package|
        package["source"] && linked.include?(package.values_at("name", "version"))
      end
      packages.map { |package| crate(package) }.sort_by { |crate| [crate.name, crate.version] }
    end
  end

  # The crates and their licences, and each text once, below those that it is of.
  def licenses
    linked = TOOLCHAIN.merge(all.to_h { |crate| [crate.to_s, crate.license] })
    texts = all.flat_map { |crate| texts_for(crate).map { |text| [text, crate] } }
               .group_by(&:first).transform_values { |pairs| pairs.map(&:last).join(", ") }
    ["em-websocket-rs is under the MIT licence (LICENSE). The extension in this gem holds code " \
     "of others:\n",
     *linked.map { |name, license| "* #{name}: #{license}" },
     *texts.map { |text, crates| "\n#{"-" * 80}\n#{crates}\n\n#{text}" }].join("\n") << "\n"
  end

  # CycloneDX 1.5, in JSON. It has no time in it and its serial number is that of its contents, so
  # that the same crates give the same bytes.
  def bill_of_materials(name, version)
    components = all.map { |crate| component(crate) }
    purl = "pkg:gem/#{name}@#{version}"
    bill = { "bomFormat" => "CycloneDX", "specVersion" => "1.5", "version" => 1,
             "metadata" => { "component" => { "type" => "library", "name" => name, "purl" => purl,
                                              "version" => version, "bom-ref" => purl } },
             "components" => components,
             "dependencies" => [{ "ref" => purl,
                                  "dependsOn" => components.map { |one| one["bom-ref"] } }] }
    JSON.pretty_generate({ "serialNumber" => serial_number(bill) }.merge(bill)) << "\n"
  end

  private

  def component(crate)
    purl = "pkg:cargo/#{crate.name}@#{crate.version}"
    { "type" => "library", "bom-ref" => purl, "name" => crate.name, "version" => crate.version,
      "purl" => purl, "scope" => "required",
      "hashes" => [{ "alg" => "SHA-256", "content" => crate.checksum }],
      "licenses" => [{ "expression" => crate.license }] }
  end

  def serial_number(bill)
    digits = Digest::SHA256.hexdigest(JSON.generate(bill))
    "urn:uuid:#{digits[0, 8]}-#{digits[8, 4]}-5#{digits[13, 3]}-8#{digits[17, 3]}-#{digits[20, 12]}"
  end

  def crate(package)
    name, version = package.values_at("name", "version")
    # Cargo's older "MIT/Apache-2.0" is an "or".
    Crate.new(name: name, version: version, license: package.fetch("license").gsub("/", " OR "),
              directory: File.dirname(package.fetch("manifest_path")),
              checksum: checksums.fetch([name, version]))
  end

  # Of a crate that comes without: Apache's, which names nobody, as most crates have it.
  def texts_for(crate)
    own = license_texts(crate)
    return own unless own.empty?
    raise "#{crate} has no text of its licence" unless crate.license.match?(/\bApache-2\.0\b/)

    [apache]
  end

  def apache
    @apache ||= all.map { |crate| File.join(crate.directory, "LICENSE-APACHE") }
                   .select { |path| File.file?(path) }.map { |path| license_text(path) }
                   .tally.max_by { |_, count| count }.first
  end

  def license_texts(crate)
    Dir.children(crate.directory).grep(LICENSE_FILES).sort.filter_map do |name|
      path = File.join(crate.directory, name)
      license_text(path) if File.file?(path)
    end
  end

  def license_text(path) = File.read(path, encoding: "UTF-8").gsub("\r\n", "\n").strip

  def checksums
    @checksums ||= File.read(File.join(@root, "Cargo.lock")).split("[[package]]").to_h do |entry|
      [[entry[/^name = "(.+)"/, 1], entry[/^version = "(.+)"/, 1]], entry[/^checksum = "(.+)"/, 1]]
    end
  end

  # Without what runs while compiling only.
  def names_and_versions
    tree = ask("tree", "--locked", "--package", "em_websocket_rs", "--target", @target,
               "--edges", "normal,no-proc-macro", "--prefix", "none", "--format", "{p}")
    tree.lines.to_set { |line| line.match(/\A(\S+) v(\S+)/).captures }
  end

  def metadata
    @metadata ||= JSON.parse(ask("metadata", "--locked", "--format-version", "1",
                                 "--filter-platform", @target))
  end

  def ask(*arguments)
    output, errors, status = Open3.capture3(@cargo, *arguments, chdir: @root)
    raise "cargo #{arguments.first} failed: #{errors}" unless status.success?

    output
  end
end
