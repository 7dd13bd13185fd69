# frozen_string_literal: true

# The rules of deny.toml for licences, duplicates and origins of crates, looked at without
# cargo-deny: to install that compiles for longer than all tests take.
class Deny
  # @param policy [String] the text of deny.toml
  # @param packages [Array<Hash>] of Cargo's metadata
  def initialize(policy, packages)
    @policy = policy
    @packages = packages
  end

  # Systems that crates are looked at for.
  def self.targets(policy) = list(policy, "graph", "targets")

  # @return [Array<String>] what breaks a rule, and rules that nothing needs
  def complaints
    foreign = @packages.select { |package| package["source"] }
    unlicensed(foreign) + banned + duplicates + unknown_origins(foreign) + unused(foreign)
  end

  # Strings of an array in a section: of its tables those of the key crate, which are all.
  def self.list(policy, section, key)
    text = policy[/^\[#{section}\]\n(.*?)(?=^\[\w+\]|\z)/m, 1].to_s.gsub(/^ *#.*/, "")
    text[/^#{key} = \[(.*?)^\]/m, 1].to_s.scan(/"([^"]+)"/).flatten
  end

  private

  def allowed = @allowed ||= self.class.list(@policy, "licenses", "allow")

  def skipped = @skipped ||= self.class.list(@policy, "bans", "skip")

  def named(package) = "#{package["name"]}@#{package["version"]}"

  def unlicensed(packages)
    packages.reject { |package| License.new(package["license"]).satisfied_by?(allowed) }
            .map { |package| "#{named(package)} is under #{package["license"] || "no licence"}" }
  end

  def banned
    names = self.class.list(@policy, "bans", "deny")
    @packages.select { |package| names.include?(package["name"]) }
             .map { |package| "#{named(package)} is not to be used" }
  end

  def duplicates
    groups = @packages.reject { |package| skipped.include?(named(package)) }
                      .group_by { |package| package["name"] }.values
    groups.select { |group| group.size > 1 }
          .map { |group| group.map { |package| named(package) }.join(", ") }
          .map { |versions| "more than one version: #{versions}" }
  end

  def unknown_origins(packages)
    packages.reject { |package| package["source"].start_with?("registry+") }
            .map { |package| "#{named(package)} is from #{package["source"]}" }
  end

  def unused(packages)
    licenses = packages.map { |package| License.new(package["license"]).names }.flatten
    (allowed - licenses).map { |name| "no crate is under #{name}, which deny.toml allows" } +
      (skipped - @packages.map { |package| named(package) })
      .map { |name| "#{name}, which deny.toml skips, is not there" }
  end

  # An expression of SPDX's: names, WITH, AND, OR and parentheses; Cargo's older "/" is an OR.
  class License
    def initialize(expression)
      @tokens = expression.to_s.gsub("/", " OR ").gsub(/ WITH /, "+with+").scan(/[()]|[^\s()]+/)
    end

    # @param allowed [Array<String>]
    def satisfied_by?(allowed)
      @allowed = allowed
      @rest = @tokens.dup
      !@rest.empty? && either
    end

    def names = @tokens.grep_v(/\A(?:AND|OR|[()])\z/).map { |name| name.sub("+with+", " WITH ") }

    private

    def either
      good = both
      while @rest.first == "OR"
        @rest.shift
        # Not `good || both`: the tokens must go.
        good = [good, both].any?
      end
      good
    end

    def both
      good = one
      while @rest.first == "AND"
        @rest.shift
        good = [good, one].all?
      end
      good
    end

    def one
      token = @rest.shift
      return @allowed.include?(token.to_s.sub("+with+", " WITH ")) unless token == "("

      either.tap { @rest.shift }
    end
  end
end
