# frozen_string_literal: true

require_relative "../../rakelib/page"

# The tables of docs beside the code that they are about.
RSpec.describe "the tables", :extension do
  options = EM::WebSocket.const_get(:Options) unless UPSTREAM
  page = Page.new("docs/options.md")
  sections = ["Listening", "Who may connect", "Plain HTTP", "Limits", "Timeouts",
              "Tuning options"]
  rows = sections.flat_map { |section| page.rows(section) }
                 .select { |row| row[0].start_with?("`:") }
  described = rows.to_h { |row| [row[0].delete("`:").to_sym, row] }

  # "64 MiB" as a number, "`false`" as false; nil where it is prose.
  def value(cell)
    number = cell[/\A[\d,]+/]&.delete(",")&.to_i
    case cell
    when /\A[\d,]+ KiB/ then number * 1024
    when /\A[\d,]+ MiB/ then number * 1024 * 1024
    when /\A[\d,]+(?: s)?\z/ then number
    when "no limit" then 0
    when "`false`", "`true`" then cell == "`true`"
    end
  end

  # Texts that stand in the first cells of a table.
  def names(page, section, pattern)
    page.rows(section).flat_map { |row| row[0].scan(pattern) }.flatten.map(&:to_sym)
  end

  # Every option as its @option tag in YARD's comments has it, with its default.
  def tags
    source = File.read(File.join(Page::ROOT, "lib/em-websocket/websocket.rb"))
    source.scan(/@option options \[[^\]]*\] :(\w+)(?: \(([^)]*)\))?/)
          .to_h.transform_keys(&:to_sym)
  end

  describe "of the options" do
    it "have every option once, and no other" do
      expect(rows.map { |row| row[0].delete("`:").to_sym }).to match_array(options::TABLE.keys)
    end

    it "are YARD's, too" do
      expect(tags.keys).to match_array(options::TABLE.keys)
    end

    it "have the defaults that YARD has" do
      defaults = tags.transform_values do |default|
        default = default.to_s.sub(/\A\{\.(\w+)\}\z/) do
          EM::WebSocket.public_send(Regexp.last_match(1)).to_s
        end
        value(default.sub(/\A(false|true)\z/, '`\1`'))
      end
      expect(described.transform_values { |row| value(row[2]) }).to eq(defaults)
    end

    it "say of each what it is for" do
      expect(rows.map(&:size)).to all(eq(4))
      expect(rows.flat_map { |row| [row[2], row[3]] }.map(&:size)).to all(be_positive)
    end

    it "have the limits that are attributes, with their defaults" do
      attributes = page.rows("Limits").select { |row| row[0].start_with?("`EM::") }
      names = %i[max_frame_size max_message_size close_timeout]
      expect(attributes.to_h { |row| [row[0][/\.(\w+)/, 1].to_sym, value(row[2])] })
        .to eq(names.to_h { |name| [name, EM::WebSocket.public_send(name)] })
    end

    it "have every key of :compression and of :tls_options" do
      expect(names(page, "Compression", /:(\w+)/)).to match_array(EM::WebSocket::Compression::KEYS)
      expect(names(page, "tls_options", /:(\w+)/)).to match_array(EM::WebSocket::TlsOptions::KNOWN)
    end

    it "are those that README names, with the same defaults" do
      short = Page.new("README.md").rows("Options").drop(1).flat_map do |names, _, default, _|
        names.scan(/:(\w+)/).flatten.map(&:to_sym).zip(default.split(", "))
      end
      given = short.to_h.compact.transform_values { |default| value(default) }
      expect(given.size).to be >= 12
      expect(given).to eq(given.to_h { |name, _| [name, value(described.fetch(name)[2])] })
    end
  end

  it "of the statistics have every key once, and no other" do
    server = Server.new
    keys = server.call { EM::WebSocket.stats.keys }
    # Those of brokers are there with brokers.
    brokers = %w[brokers connected waiting bytes_waiting lag reconnects lost]
    keys += brokers.map { |key| :"pubsub_#{key}" }
    expect(names(Page.new("docs/monitoring.md"), "Monitoring", /:(\w+)/)).to match_array(keys)
  ensure
    server&.stop
  end

  it "of the errors have every class, its parent and its close code" do
    shown = Page.new("docs/connections.md").rows("Errors").drop(1).to_h do |cell, _, outcome|
      [cell[/`(.+)`/, 1], outcome[/\b(1\d{3})/, 1]&.to_i]
    end
    constants = EM::WebSocket.constants.map { |name| EM::WebSocket.const_get(name) }
    classes = constants.grep(Class).select { |one| one <= EM::WebSocket::WebSocketError }
    there = classes.to_h do |one|
      code = one.allocate.code if one.method_defined?(:code)
      ["#{one} < #{one.superclass}".gsub("EventMachine::WebSocket::", ""), code]
    end
    expect(shown).to eq(there)
  end

  it "of the callbacks have every callback of a connection" do
    callbacks = EM::WebSocket::Connection.instance_methods.grep(/\Aon[a-z]+\z/)
    %w[README.md docs/connections.md].zip(%w[Usage Callbacks]) do |path, section|
      expect(names(Page.new(path), section, /`(on\w+)`/)).to match_array(callbacks), path
    end
  end

  it "of the hooks have every hook that an application may override" do
    shown = names(Page.new("docs/subclassing.md"), "Subclassing", /`(\w+)/)
    hooks = %i[dispatch post_init receive_data send_data unbind]
    hooks += EM::WebSocket::Connection.instance_methods.grep(/\Atrigger_on_/)
    expect(shown).to match_array([*hooks, :initialize, :ssl_verify_peer])
  end

  it "and the commands name this version" do
    expect(Page.new("README.md").text).to include("em-websocket-rs-#{EM::Websocket::VERSION}.gem")
  end
end
