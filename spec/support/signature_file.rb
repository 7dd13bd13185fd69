# frozen_string_literal: true

# The methods in a file of RBS, and what they take, to be compared with those of Ruby.
class SignatureFile
  # Arguments that a method takes. `most` is Float::INFINITY for one with a rest argument.
  Arguments = Struct.new(:least, :most, :keywords, :optional_keywords, :names,
                         keyword_init: true) do
    def self.of_method(method)
      kinds = method.parameters.group_by(&:first).transform_values { |all| all.map(&:last) }
      positional = [*kinds[:req], *kinds[:opt]]
      most = kinds[:rest] ? Float::INFINITY : positional.size
      new(least: Array(kinds[:req]).size, most: most, keywords: Array(kinds[:keyreq]).sort,
          optional_keywords: Array(kinds[:key]).sort, names: positional)
    end

    def self.of_function(function)
      required = function.required_positionals + function.trailing_positionals
      positional = required + function.optional_positionals
      new(least: required.size, names: positional.map(&:name),
          most: function.rest_positionals ? Float::INFINITY : positional.size,
          keywords: function.required_keywords.keys.sort,
          optional_keywords: function.optional_keywords.keys.sort)
    end

    # Arguments of overloads together.
    def self.of_functions(functions)
      all = functions.map { |function| of_function(function) }
      new(least: all.map(&:least).min, most: all.map(&:most).max,
          names: all.map(&:names).max_by(&:size), keywords: all.flat_map(&:keywords).uniq.sort,
          optional_keywords: all.flat_map(&:optional_keywords).uniq.sort)
    end

    # A method that hands all that it is given on, as native ones do, takes fewer in fact. Names are
    # compared where there are some on both sides.
    def taken_by?(method)
      return true if [method.least, method.most] == [0, Float::INFINITY] && keywords.empty?
      return false unless names.nil? || method.names.nil? || names == method.names

      to_a[0..3] == method.to_a[0..3]
    end
  end

  def self.available?
    require "rbs"
    true
  rescue LoadError
    false
  end

  def initialize(path)
    parsed = RBS::Parser.parse_signature(File.read(path))
    @methods = {}
    # Newer versions of RBS answer the buffer and directives as well.
    walk(parsed.last.is_a?(Array) ? parsed.last : parsed, "")
  end

  # Gives each method's class, name, kind (:instance or :singleton) and arguments.
  def each
    @methods.each do |owner, methods|
      methods.each { |(name, kind), arguments| yield owner, name, kind, arguments }
    end
  end

  # True if it is there, for the class itself or for one that it is mixed into, or above these.
  def method?(owner, name, kind)
    users = @methods.keys.map { |known| Object.const_get(known) }.select { |known| known <= owner }
    places = [owner, *users].flat_map(&:ancestors).uniq.filter_map { |place| @methods[place.name] }
    places.any? { |methods| methods.key?([name, kind]) }
  end

  private

  def walk(declarations, namespace)
    declarations.each do |declaration|
      case declaration
      when RBS::AST::Declarations::Class, RBS::AST::Declarations::Module
        name = "#{namespace}#{declaration.name}"
        (@methods[name] ||= {}).merge!(methods_of(declaration))
        walk(declaration.members, "#{name}::")
      end
    end
  end

  def methods_of(declaration)
    declaration.members.each_with_object({}) do |member, methods|
      case member
      when RBS::AST::Members::MethodDefinition
        methods[[member.name, member.kind]] = Arguments.of_functions(functions(member))
      when RBS::AST::Members::Attribute then methods.merge!(attribute(member))
      end
    end
  end

  def functions(member)
    return member.types.map(&:type) unless member.respond_to?(:overloads)

    member.overloads.map { |overload| overload.method_type.type }
  end

  def attribute(member)
    names = []
    names << member.name unless member.is_a?(RBS::AST::Members::AttrWriter)
    names << :"#{member.name}=" unless member.is_a?(RBS::AST::Members::AttrReader)
    names.to_h do |name|
      count = name.end_with?("=") ? 1 : 0
      none = { keywords: [], optional_keywords: [] }
      [[name, :instance], Arguments.new(least: count, most: count, **none)]
    end
  end
end
