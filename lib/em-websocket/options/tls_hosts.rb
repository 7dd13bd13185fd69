# frozen_string_literal: true

require_relative "../checks"

module EventMachine
  module WebSocket
    # The key `:hosts` of `:tls_options`: certificates by the name that a client asks for.
    #
    # @api private
    module TlsHosts
      # Paths of files.
      FILES = %i[private_key_file cert_chain_file].freeze

      # Keys that a host has of its own. Everything else holds for all of them: a client that is
      # asked for its certificate would ask for another host's name.
      KEYS = [*FILES, :private_key, :cert, :private_key_pass].freeze

      # Advice for who has given something else.
      ADVICE = 'give one such as { "a.example" => { private_key_file: "key.pem", ' \
               'cert_chain_file: "chain.pem" } }'
      private_constant :ADVICE

      module_function

      # @param hosts [Hash{String => #[]}]
      # @return [Array<Array(String, Hash)>] names and options, as the native core takes them
      # @raise [ArgumentError] if they cannot be what they are; its text names the host
      def of(hosts)
        unless hosts.respond_to?(:each_pair)
          raise ArgumentError,
                "tls_options[:hosts]: an object of #{hosts.class} is no Hash: #{ADVICE}"
        end

        hosts.each_pair.map { |name, options| [name(name), host(name, options)].freeze }.freeze
      end

      # @return [String] UTF-8; what is a name is the native core's to say
      def name(name)
        name = name.to_s if name.is_a?(Symbol)
        text = name.to_str.b.force_encoding(Encoding::UTF_8) if name.respond_to?(:to_str)
        return text.freeze if text&.valid_encoding?

        raise ArgumentError, "tls_options[:hosts]: #{Checks.shown(name)} is no host name: #{ADVICE}"
      end

      # @return [Hash{Symbol => String}] what one host has of its own
      # @raise (see of)
      def host(name, options)
        label = "tls_options[:hosts][#{Checks.shown(name)}]"
        Checks.keyed(label, options, ADVICE)
        Checks.no_strings(label, options, TlsOptions::KNOWN)
        check_keys(label, options)
        given = KEYS.to_h { |key| [key, options[key]] }.compact
        given.to_h { |key, value| [key, typed("#{label}[:#{key}]", key, value)] }.freeze
      end

      # @raise (see of)
      def check_keys(label, options)
        foreign = (TlsOptions::KEYS - KEYS).find { |key| !options[key].nil? }
        if foreign
          raise ArgumentError, "#{label}: :#{foreign} is for all hosts: it belongs beside :hosts"
        end

        unknown = (options.keys - KEYS).grep(Symbol) - TlsOptions::KNOWN if options.is_a?(Hash)
        return if unknown.nil? || unknown.empty?

        raise ArgumentError, "#{label}: there is no #{unknown[0].inspect}: use some of #{KEYS}"
      end

      # @return [String] a value as the native core takes it
      # @raise (see of)
      def typed(label, key, value)
        FILES.include?(key) ? Checks.path(label, value) : Checks.text(label, value)
      end
    end
  end
end
