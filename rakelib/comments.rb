# frozen_string_literal: true

# Comments of what is defined, and a look at how they begin: a first sentence names the thing with a
# noun, in the field's words, so that a reader finds it. "What waits to be written" may be anything;
# "Bytes that wait to be written" is not.
class Comments
  # Words that begin a clause, and no noun.
  CLAUSE = /\A(Wh(at|atever|en|ere|ether|ich|o|oever|om|ose|y)|How|So many|So much)\b/

  FILES = %w[
    src ext tests bench fuzz lib sig spec rakelib examples compat
  ].flat_map { |directory| %w[rs rb rake rbs].map { |type| "#{directory}/**/*.#{type}" } }.freeze

  # A doc comment of Rust's; in Ruby, a comment above a definition.
  RUST = %r{\A\s*//[/!] ?(.*)}
  RUBY = /\A\s*# ?(.*)/
  DEFINITION = /\A\s*(?:(?:private_class_method\s|private\s|module_function\s)?def\s|class\s|
                 module\s|attr_|alias\s|[A-Z]\w*\s=\s|
                 type\s|interface\s|[A-Z]\w*:\s|(?:RSpec\.)?(?:describe|context|shared_\w+)\s)/x
  private_constant :CLAUSE, :RUST, :RUBY, :DEFINITION

  # @param files [Array<String>]
  def initialize(files = Dir.glob(FILES))
    @files = files.grep_v(%r{/(?:target|vendor|bindings|node_modules)/}).sort
  end

  # Complaints about the files, a line each.
  # @return [Array<String>]
  def complaints
    @files.flat_map do |file|
      beginnings(File.read(file).lines, file).filter_map do |number, text|
        "#{file}:#{number}: begins with a clause: #{text.strip}" if text.match?(CLAUSE)
      end
    end
  end

  private

  # First lines of the comments that are looked at, with their numbers.
  def beginnings(lines, file)
    pattern = file.end_with?(".rs") ? RUST : RUBY
    commented = lines.map { |line| line[pattern, 1] }
    commented.each_index.filter_map do |index|
      next if commented[index].nil? || (index.positive? && commented[index - 1])
      next unless pattern == RUST || definition_follows?(lines, commented, index)

      [index + 1, commented[index]]
    end
  end

  def definition_follows?(lines, commented, index)
    index += 1 while commented[index]
    lines.fetch(index, "").match?(DEFINITION)
  end
end
