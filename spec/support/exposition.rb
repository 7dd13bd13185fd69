# frozen_string_literal: true

# The families and samples of a text, held against the format (version 0.0.4): each family once,
# its help and its type before its samples, and every sample of a family.
class Exposition
  NAME = /[a-z][a-z0-9_]*/
  LABEL = /[a-z_]+="(?:[^"\\\n]|\\["\\n])*"/
  SAMPLE = /\A(#{NAME})(?:\{(#{LABEL}(?:,#{LABEL})*)\})? (-?\d+(?:\.\d+)?(?:e[-+]\d+)?)\n\z/

  attr_reader :types, :samples

  def initialize(text)
    @types = {}
    @samples = {}
    text.each_line { |line| read(line) }
  end

  def read(line)
    case line
    when /\A# HELP (#{NAME}) (\S.*\.)\n\z/
      @family = Regexp.last_match(1)
      raise "#{@family} comes twice" if @types.key?(@family)
    when /\A# TYPE (#{NAME}) (gauge|counter|histogram)\n\z/
      raise line unless Regexp.last_match(1) == @family

      @types[@family] = Regexp.last_match(2)
    when SAMPLE then add(*Regexp.last_match.captures)
    else raise "this is no line: #{line.inspect}"
    end
  end

  def add(name, labels, value)
    suffix = @types.fetch(@family) == "histogram" ? /_(bucket|sum|count)\z/ : /\z/
    raise "#{name} is not in #{@family}" unless name.sub(suffix, "") == @family
    raise "#{name} is there already" if @samples.key?([name, labels])

    @samples[[name, labels]] = Float(value)
  end

  # By the name without its prefix, and other labels than the server's.
  def values(server)
    own = @samples.select { |(_, labels), _| labels&.start_with?(%(server="#{server}")) }
    own.to_h do |(name, labels), value|
      ["#{name.delete_prefix("em_websocket_")}#{labels[/,(.*)/, 1]&.then { |it| "{#{it}}" }}",
       value]
    end
  end
end
