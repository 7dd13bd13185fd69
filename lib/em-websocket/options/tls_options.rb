# frozen_string_literal: true

require_relative "../checks"
require_relative "tls_hosts"

module EventMachine
  module WebSocket
    # The option `:tls_options`: EventMachine's keys for `start_tls`, and {OWN}.
    #
    # @api private
    module TlsOptions
      # Paths of files.
      FILES = %i[private_key_file cert_chain_file dhparam client_ca_file].freeze

      # Bytes, to the native core; the label of their encoding is of no account.
      TEXTS = %i[private_key cert private_key_pass cipher_list ecdh_curve].freeze

      # Truthy or not.
      FLAGS = %i[verify_peer fail_if_no_peer_cert].freeze

      # Advice on what may be given.
      ADVICE = "give a Hash with :private_key_file and :cert_chain_file"
      private_constant :ADVICE

      # Every key that a server reads.
      KEYS = [*FILES, *TEXTS, *FLAGS, :ssl_version, :hosts].freeze

      # Every key of EventMachine's and ours.
      KNOWN = [*KEYS, :sni_hostname].freeze

      # Keys that EventMachine does not have, and would pass over.
      OWN = %i[client_ca_file hosts].freeze

      module_function

      # @param options [#[]]
      # @raise [ArgumentError] if they are no Hash, or a key of ours is a String
      def check(options)
        Checks.no_strings(:tls_options, Checks.keyed(:tls_options, options, ADVICE), KNOWN)
      end

      # Check for EventMachine's own sockets, where everybody would be let in, or served the same
      # certificate.
      #
      # @param options [#[]]
      # @raise [ArgumentError] if there is a key that EventMachine does not have
      def check_attached(options)
        own = OWN.find { |key| options[key] }
        return unless own

        raise ArgumentError,
              "tls_options[:#{own}]: connections on EventMachine's own sockets do not have it"
      end

      # Reads them, each once.
      #
      # @param options [#[]]
      # @param hosts [ObjectSpace::WeakMap] what has been read of `:hosts`, by the object
      # @return [Array] the values of {KEYS}, for {values}
      # @raise (see check)
      def given(options, hosts)
        check(options)
        KEYS.map do |key|
          value = options[key]
          key == :hosts && !value.nil? ? hosts[value] ||= TlsHosts.of(value) : value
        end
      end

      # @param given [Array]
      # @return [Array] the same, of what stays as it is when the application changes its Strings
      def kept(given)
        given.map do |value|
          (value.is_a?(String) || value.is_a?(Array)) && !value.frozen? ? value.dup : value
        end
      end

      # @param given [Array]
      # @return [Hash{Symbol => String, Boolean, Array}] what was given, typed
      # @raise [ArgumentError] if one cannot be what it is; its text names it, never what it is
      def values(given)
        KEYS.zip(given).to_h.compact.to_h { |key, value| [key, typed(key, value)] }
      end

      # @return [Array<String>] the paths of the files that are read, but those of hosts
      def files(values)
        paths = values.values_at(:private_key_file, :cert_chain_file, :client_ca_file)
        paths.compact.reject(&:empty?)
      end

      # @return [Array<String>] the paths of the files of hosts
      def files_of_hosts(values)
        values.fetch(:hosts, []).flat_map { |_, host| files(host) }.uniq
      end

      # @return [String, Boolean, Array] a value as the native core takes it
      def typed(key, value)
        case key
        when *FILES then Checks.path("tls_options[:#{key}]", value)
        when *TEXTS then Checks.text("tls_options[:#{key}]", value)
        when *FLAGS then value ? true : false
        when :hosts then value
        else [value].flatten.map(&:to_s)
        end
      end
    end
  end
end
