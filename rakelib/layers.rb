# frozen_string_literal: true

require "strscan"

# The layers of the core's files, and a look at whether an import points up.
#
# An import is a path in the code, in a `use` or elsewhere, that names something in another file. A
# module's file is not imported by what it re-exports, and tests are not looked at.
class Layers
  # From the top down: a file imports files of the layers below its own. A directory stands for all
  # that is in it.
  ORDER = [
    %w[lib],
    # Sockets, threads and clocks.
    %w[server/mod],
    %w[server/listener server/pubsub],
    %w[server/listening server/rejections],
    %w[server/driver],
    %w[server/event_sender],
    %w[server/event_queue],
    %w[server/batch],
    %w[server/delivery server/pending_flushes],
    %w[server/incoming],
    %w[server/channels server/registry server/owner],
    %w[server/handle],
    %w[server/charge],
    %w[server/connection],
    %w[server/memberships],
    %w[server/outbox],
    %w[server/reader],
    %w[server/socket],
    %w[server/tls],
    %w[server/outbound/mod],
    %w[server/outbound/compression],
    %w[server/outbound/broadcast server/outbound/buffer],
    %w[server/clients server/inbound server/stats],
    %w[server/process],
    %w[server/locks server/runtime],
    %w[server/buffers server/compression_threads server/tcp],
    %w[server/config server/sync server/transmission],
    %w[server/addresses server/slab server/keepalive server/pause server/server_names],
    %w[server/wakeup],
    # Bytes and a `now`.
    %w[protocol/mod],
    %w[protocol/connection protocol/receive protocol/handshake/mod],
    %w[protocol/send protocol/sentinel protocol/deflate/inflater],
    %w[protocol/handshake/plain],
    %w[protocol/handshake/body protocol/handshake/forwarded protocol/handshake/rules
       protocol/handshake/scan],
    %w[protocol/handshake/accept protocol/handshake/challenge protocol/handshake/echo],
    %w[protocol/handshake/rejection protocol/handshake/response],
    %w[protocol/handshake/subprotocol protocol/handshake/non_websocket],
    %w[protocol/handshake/request protocol/handshake/response_writer],
    %w[protocol/handshake/ruby_format protocol/handshake/target],
    %w[protocol/message protocol/deflate/deflater],
    %w[protocol/deflate/negotiate],
    %w[protocol/deflate/mod],
    %w[protocol/event],
    %w[protocol/frame protocol/utf8],
    %w[protocol/close protocol/held protocol/limits protocol/mask protocol/networks
       protocol/opcode protocol/proxy protocol/token_bucket],
    %w[protocol/error protocol/version],
    %w[protocol/close_code protocol/http_token]
  ].freeze

  STRING = /b?r(#*)".*?"\1|b?"(?:\\.|[^"\\])*"|b?'(?:\\.[^']*|[^'\\])'/m
  COMMENT = %r{//[^\n]*|/\*.*?\*/}m
  TEST = /#\[cfg\((?:all\()?test\b[^\]]*\]\s*(?:#\[[^\]]*\]\s*)*/
  USE = /^\s*(pub(?:\([^)]*\))? )?use ([^;]+);/
  INLINE = /^mod \w+ \{.*?^\}/m
  PATH = /(?<![\w:])(?:crate|self|super)(?:::\w+)+/
  private_constant :STRING, :COMMENT, :TEST, :USE, :INLINE, :PATH

  # @param root [String] the directory that `lib.rs` is in
  # @param order [Array<Array<String>>] the layers, from the top down
  def initialize(root = "src", order: ORDER)
    @order = order
    @tests = []
    @code = Dir.glob("**/*.rs", base: root).sort.to_h do |path|
      file = path.delete_suffix(".rs")
      [file, code(file, File.read("#{root}/#{path}"))]
    end
    @code.reject! { |file, _| @tests.any? { |test| within?(file, test) } }
    @exports = @code.to_h { |file, code| [file, exports(file, code)] }
  end

  # Complaints about the files, a line each.
  # @return [Array<String>]
  def complaints
    strangers = @code.keys.reject { |file| place(file) }.map { |file| "#{file}.rs is in no layer" }
    gone = @order.flatten.reject { |name| @code.any? { |file, _| within?(file, name) } }
    upward = imports.filter_map do |from, to|
      "#{from}.rs imports #{to}.rs, which is not below it" unless below?(from, to)
    end
    strangers + gone.map { |name| "there is no #{name}" } + upward
  end

  # Every import of another file.
  # @return [Array<Array(String, String)>] the importing file, and the imported one
  def imports
    @code.flat_map do |file, code|
      targets = paths(file, code).filter_map { |path| resolve(path) }
      (targets.uniq - [file]).map { |target| [file, target] }
    end
  end

  private

  # The code without comments, strings and tests; notes the files that are tests. A module inside
  # a file is taken for the file itself.
  def code(file, text)
    text = text.gsub(/#{STRING}|#{COMMENT}/m) { |found| found.start_with?("/") ? "" : '""' }
    text = text.gsub(INLINE) do |found|
      found.gsub(/(?<!:)super::(super::)?/) { Regexp.last_match(1) || "self::" }
    end
    while (test = text.match(TEST))
      item = test.post_match[0...item_length(test.post_match)]
      @tests << "#{directory(file)}#{Regexp.last_match(1)}" if item =~ /\A(?:pub\S* )?mod (\w+);/
      text = test.pre_match + test.post_match[item.length..]
    end
    text
  end

  # End of the first item: behind its braces, or at a semicolon that comes before them.
  def item_length(text)
    scanner = StringScanner.new(text)
    depth = 0
    while scanner.scan_until(/[{};]/)
      depth += { "{" => 1, "}" => -1, ";" => 0 }.fetch(scanner.matched)
      return scanner.pos if depth.zero?
    end
    text.length
  end

  # Names that a file re-exports, with their paths.
  def exports(file, code)
    exported = code.scan(USE).filter_map { |visibility, tree| expand(tree) if visibility }
    exported.flatten(1).to_h { |path, name| [name, absolute(file, path)] }
  end

  # Paths that a file names, from the crate's root.
  def paths(file, code)
    uses = code.scan(USE).reject { |visibility, _| visibility && module_file?(file) }
    named = uses.flat_map { |_, tree| expand(tree).map(&:first) }
    named += code.gsub(USE, "").scan(PATH).map { |path| path.split("::") }
    named.map { |path| absolute(file, path) }
  end

  # The paths of a `use` with the names that they go by.
  def expand(tree, prefix = [])
    tree = tree.strip
    if (head, inner = tree.match(/\A([\w:]*?)(?:::)?\{(.*)\}\z/m)&.captures)
      return split(inner).flat_map { |branch| expand(branch, prefix + head.split("::")) }
    end

    path, name = tree.split(/\s+as\s+/)
    path = prefix + path.split("::")
    path.pop if path.last == "self"
    [[path, name || path.last]]
  end

  # The branches between braces.
  def split(inner)
    depth = 0
    branches = inner.each_char.slice_when do |char, _|
      depth += { "{" => 1, "}" => -1 }.fetch(char, 0)
      char == "," && depth.zero?
    end
    branches.map { |chars| chars.join.delete_suffix(",").strip }.reject(&:empty?)
  end

  def absolute(file, path)
    here = directory(file).split("/")
    case path.first
    when "crate" then path.drop(1)
    when "self" then here + path.drop(1)
    when "super"
      up = path.take_while { |name| name == "super" }.length
      here[0...-up] + path.drop(up)
    else
      module_of(here + path.first(1)) ? here + path : path
    end
  end

  # The file that a path leads to; nil where that is another crate's.
  def resolve(path, depth = 0)
    here = []
    path.each_with_index do |name, index|
      next here += [name] if module_of(here + [name])

      exported = @exports.fetch(module_of(here), {})[name]
      return resolve(exported + path.drop(index + 1), depth + 1) if exported && depth < 9

      return here.empty? ? nil : module_of(here)
    end
    module_of(here)
  end

  def module_of(path)
    return "lib" if path.empty?

    [path.join("/"), [*path, "mod"].join("/")].find { |file| @code.key?(file) }
  end

  # Directory of a file's submodules.
  def directory(file)
    return "" if file == "lib"

    "#{file.delete_suffix("/mod")}/"
  end

  def module_file?(file)
    file == "lib" || file.end_with?("/mod")
  end

  def within?(file, name)
    file == name || file.start_with?("#{name}/")
  end

  # Row and name of the layer that a file is in.
  def place(file)
    @order.each_with_index do |names, row|
      name = names.find { |it| within?(file, it) }
      return [row, name] if name
    end
    nil
  end

  def below?(from, other_file)
    row, name = place(from)
    other_row, other = place(other_file)
    row.nil? || other_row.nil? || name == other || row < other_row
  end
end
